"""Volumes of storage drivers: the node's side of the Container Storage Interface."""
