"""Who owns which field: managedFields, and server-side apply on top of them."""

from tiphys.api.ownership.applying import ApplyConflict, ApplyError, apply
from tiphys.api.ownership.recording import Writer, record_update

__all__ = ["ApplyConflict", "ApplyError", "Writer", "apply", "record_update"]
