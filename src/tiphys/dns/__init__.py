"""Cluster DNS: objects to records, and the server that answers."""
