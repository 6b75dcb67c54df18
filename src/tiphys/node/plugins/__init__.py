"""Programs that register with the node by a socket in a directory."""
