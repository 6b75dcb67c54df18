"""
Are device classes and slices of devices valid.

Devices are not given to pods here, so this keeps what a reader of the objects relies on: who drives which pool, on
which nodes, with devices that can be told apart. CEL selectors are kept as they are written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, duplicate, invalid, required, too_many
from tiphys.api.validation.validator import Object, Validator

_GROUP = "resource.k8s.io"
SELECTORS_MAX, DEVICES_MAX = 32, 128
# The fields of an attribute, and how they are named where a field error shows them.
_VALUES = {
    "int": "IntValue", "bool": "BoolValue", "string": "StringValue", "version": "VersionValue",
    "ints": "IntValues", "bools": "BoolValues", "strings": "StringValues", "versions": "VersionValues",
}  # fmt: skip
_NUMBER, _TAIL = "(0|[1-9][0-9]*)", r"[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*"
_is_semantic = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_TAIL})?(\+{_TAIL})?").fullmatch
_PLACES = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")


def device_class(obj: Object) -> list[FieldError]:
    """Selectors that say something."""
    selectors = (obj.get("spec") or {}).get("selectors") or ()
    if len(selectors) > SELECTORS_MAX:
        return [too_many("spec.selectors", len(selectors), SELECTORS_MAX)]
    errors = []
    for index, selector in enumerate(selectors):
        path, cel = f"spec.selectors[{index}].cel", selector.get("cel")
        if cel is None:
            errors.append(required(path))
        elif not cel.get("expression"):
            errors.append(required(f"{path}.expression"))
    return errors


def device_class_update(new: Object, old: Object) -> list[FieldError]:
    return device_class(new)


def resource_slice(obj: Object) -> list[FieldError]:
    """A driver's part of a pool, in one kind of place."""
    spec: Mapping[str, Any] = obj.get("spec") or {}
    driver = spec.get("driver", "")
    errors = [invalid("spec.driver", driver, text) for text in names.dns_subdomain(driver)]
    errors = errors if driver else [required("spec.driver")]
    errors += _pool_errors(spec.get("pool") or {})
    places = [name for name in _PLACES if spec.get(name)]
    listed = ", ".join(f"`{name}`" for name in _PLACES)
    if not places:
        errors.append(required("spec", f"exactly one of {listed} is required"))
    elif len(places) > 1:
        shown = "{" + ", ".join(f"`{name}`" for name in places) + "}"
        text = f"exactly one of {listed} is required, but multiple fields are set"
        errors.append(invalid("spec", shown, text))
    devices = spec.get("devices") or ()
    if len(devices) > DEVICES_MAX:
        errors.append(too_many("spec.devices", len(devices), DEVICES_MAX))
    return errors + _device_errors(devices)


def _pool_errors(pool: Mapping[str, Any]) -> list[FieldError]:
    name, count, generation = pool.get("name", ""), pool.get("resourceSliceCount", 0), pool.get("generation", 0)
    errors = [] if name else [required("spec.pool.name")]
    for part in name.split("/") if name else ():
        errors += [invalid("spec.pool.name", part, text) for text in names.dns_subdomain(part)]
    if count <= 0:
        errors.append(invalid("spec.pool.resourceSliceCount", count, "must be greater than zero"))
    if generation < 0:
        text = "must be greater than or equal to zero"
        errors.append(invalid("spec.pool.generation", generation, text))
    return errors


def _device_errors(devices: Sequence[Mapping[str, Any]]) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, device in enumerate(devices):
        path, name = f"spec.devices[{index}]", device.get("name", "")
        errors += [invalid(f"{path}.name", name, text) for text in names.dns_label(name)]
        for key, value in (device.get("attributes") or {}).items():
            errors += _attribute_errors(value, f"{path}.attributes[{key}]")
        if name in seen:
            errors.append(duplicate(path, name))
        seen.add(name)
    return errors


def _attribute_errors(attribute: Mapping[str, Any], path: str) -> list[FieldError]:
    """One value of one type; a version is a semantic one."""
    if len(attribute) != 1:
        shown = {go_name: attribute.get(name) for name, go_name in _VALUES.items()}
        return [invalid(path, shown, "exactly one value must be specified")]
    version = attribute.get("version")
    if version is not None and not _is_semantic(version):
        text = "must be a string compatible with semver.org spec 2.0.0"
        return [invalid(f"{path}.version", version, text)]
    return []


def resource_slice_update(new: Object, old: Object) -> list[FieldError]:
    """Whose slice it is, and of which node and pool, stays."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    errors = resource_slice(new)
    for name in ("driver", "nodeName"):
        if spec.get(name) != before.get(name):
            errors.append(invalid(f"spec.{name}", spec.get(name), "field is immutable"))
    pool, held = (spec.get("pool") or {}).get("name"), (before.get("pool") or {}).get("name")
    if pool != held:
        errors.append(invalid("spec.pool.name", pool, "field is immutable"))
    return errors


VALIDATORS = {
    (_GROUP, "deviceclasses"): Validator(device_class, device_class_update),
    (_GROUP, "resourceslices"): Validator(resource_slice, resource_slice_update),
}
