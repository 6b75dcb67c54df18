"""Pods that nobody will ever finish: of nodes that are gone, deleted before they had one, or finished in excess."""
