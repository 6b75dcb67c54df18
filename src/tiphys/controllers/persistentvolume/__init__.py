"""Claims find their volumes: binding, provisioning, reclaiming."""
