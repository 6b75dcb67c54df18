"""Who owns which field: managedFields, and server-side apply on top of them."""

from tiphys.api.ownership.applying import ApplyConflict, ApplyError, apply
from tiphys.api.ownership.recording import Writer, record_update
from tiphys.api.ownership.resets import reset_fields

__all__ = ["ApplyConflict", "ApplyError", "Writer", "apply", "record_update", "reset_fields"]
