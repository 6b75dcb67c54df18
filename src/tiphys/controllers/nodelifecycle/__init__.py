"""Is each node alive? Its lease says so; taints and conditions tell everybody else."""
