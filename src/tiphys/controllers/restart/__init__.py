"""Restart: workloads that follow the ConfigMaps and Secrets that their templates refer to."""
