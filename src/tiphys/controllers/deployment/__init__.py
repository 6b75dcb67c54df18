"""Deployment: move from one pod template to the next without losing service."""
