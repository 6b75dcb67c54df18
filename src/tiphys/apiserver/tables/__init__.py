"""Server-side printing: what `kubectl get` shows of each kind, as a meta.k8s.io Table."""

from tiphys.apiserver.tables.render import render

__all__ = ["render"]
