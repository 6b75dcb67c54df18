"""Secrets of type kubernetes.io/service-account-token: filled for their account, removed with it."""
