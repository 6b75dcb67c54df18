"""Volumes of CSI drivers are attached to the nodes whose pods use them, and detached afterwards."""
