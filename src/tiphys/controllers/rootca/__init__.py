"""Every namespace has the ConfigMap `kube-root-ca.crt`, with which pods verify the API server."""
