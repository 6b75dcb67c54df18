"""The claim of storage inside a pod or StatefulSet: a template of a PersistentVolumeClaim."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, forbidden, invalid, not_supported, required
from tiphys.api.validation.values import name_errors, option_errors, selector_errors

_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")


def claim_template_errors(spec: Mapping[str, Any], path: str) -> list[FieldError]:
    """The spec of a claim that is not an object of its own yet."""
    errors: list[FieldError] = []
    modes = spec.get("accessModes") or ()
    if not modes:
        errors.append(required(f"{path}.accessModes", "at least 1 access mode is required"))
    if spec.get("selector"):
        errors += selector_errors(spec["selector"], f"{path}.selector")
    errors += [not_supported(f"{path}.accessModes", mode, _MODES) for mode in modes if mode not in _MODES]
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        text = "may not use ReadWriteOncePod with other access modes"
        errors.append(forbidden(f"{path}.accessModes", text))
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if size is None:
        errors.append(required(f"{path}.resources[storage]"))
    elif size.startswith("-") or size == "0":
        errors.append(invalid(f"{path}.resources[storage]", size, "must be greater than zero"))
    if spec.get("storageClassName"):
        errors += name_errors(spec["storageClassName"], f"{path}.storageClassName", names.dns_subdomain)
    return errors + option_errors(spec.get("volumeMode"), f"{path}.volumeMode", ("Block", "Filesystem"))
