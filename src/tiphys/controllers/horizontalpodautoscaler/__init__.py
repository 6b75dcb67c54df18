"""HorizontalPodAutoscaler: how many replicas a workload needs for its load."""
