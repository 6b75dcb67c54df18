"""API groups that other servers in the cluster answer, announced by APIService objects."""
