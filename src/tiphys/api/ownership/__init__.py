"""Who owns which field: managedFields, and server-side apply on top of them."""

from tiphys.api.ownership.applying import ApplyConflict, ApplyError, apply
from tiphys.api.ownership.client_side import apply_after_client_side
from tiphys.api.ownership.recording import Writer, record_update
from tiphys.api.ownership.resets import reset_fields
from tiphys.api.ownership.scaling import entries_of_scale, entries_of_workload

__all__ = [
    "ApplyConflict",
    "ApplyError",
    "Writer",
    "apply",
    "apply_after_client_side",
    "entries_of_scale",
    "entries_of_workload",
    "record_update",
    "reset_fields",
]
