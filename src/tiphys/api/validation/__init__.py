"""Is an object valid? Field errors with Kubernetes' own texts and causes."""

from tiphys.api.validation.fields import FieldError
from tiphys.api.validation.table import validate_create, validate_update

__all__ = ["FieldError", "validate_create", "validate_update"]
