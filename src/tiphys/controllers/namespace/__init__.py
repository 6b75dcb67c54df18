"""Namespace: empty what is being deleted, and say what blocks it."""
