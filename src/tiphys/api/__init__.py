"""Kubernetes objects as data: kinds, schema, defaults, validation, selectors, quantities, patches."""
