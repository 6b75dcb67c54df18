"""What Kubernetes fills in where an object says nothing."""

from tiphys.api.defaults.table import set_defaults

__all__ = ["set_defaults"]
