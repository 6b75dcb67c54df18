"""The node's HTTPS server: logs, exec, attach, port-forward and figures, for the API server alone."""
