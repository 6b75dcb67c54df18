"""Is a Lease valid."""

from __future__ import annotations

from tiphys.api.validation.fields import FieldError, invalid
from tiphys.api.validation.validator import Object, Validator


def lease(obj: Object) -> list[FieldError]:
    spec = obj.get("spec") or {}
    seconds, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    errors = []
    if seconds is not None and seconds <= 0:
        errors.append(invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
    if transitions is not None and transitions < 0:
        errors.append(invalid("spec.leaseTransitions", transitions, "must be greater than or equal to 0"))
    return errors


def lease_update(new: Object, old: Object) -> list[FieldError]:
    return lease(new)


VALIDATORS = {("coordination.k8s.io", "leases"): Validator(lease, lease_update)}
