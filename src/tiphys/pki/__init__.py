"""Authorities, certificates, kubeconfig files and signed tokens."""
