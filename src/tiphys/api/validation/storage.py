"""Are storage classes, drivers, their nodes and attachments valid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, duplicate, forbidden, invalid, not_supported, required
from tiphys.api.validation.internal import internal
from tiphys.api.validation.validator import Object, Validator
from tiphys.api.validation.values import selector_errors

_GROUP = "storage.k8s.io"
_DRIVER_LENGTH_MAX = 63
_TOKEN_SECONDS_MIN = 600
_GROUP_POLICIES = ("ReadWriteOnceWithFSType", "File", "None")


def storage_class(obj: Object) -> list[FieldError]:
    errors = _provisioner_errors(obj.get("provisioner", ""), "provisioner")
    errors += [invalid("parameters", "", "field can not be empty.") for key in obj.get("parameters") or () if not key]
    policy, mode = obj.get("reclaimPolicy"), obj.get("volumeBindingMode")
    if policy not in ("Delete", "Retain"):
        errors.append(not_supported("reclaimPolicy", policy, ("Delete", "Retain")))
    if mode not in ("Immediate", "WaitForFirstConsumer"):
        errors.append(not_supported("volumeBindingMode", mode, ("Immediate", "WaitForFirstConsumer")))
    return errors


def _provisioner_errors(name: str, path: str) -> list[FieldError]:
    if not name:
        return [required(path)]
    return [invalid(path, name, text) for text in names.qualified_name(name.lower())]


def storage_class_update(new: Object, old: Object) -> list[FieldError]:
    """What a class makes stays what it is."""
    errors = storage_class(new)
    for name in ("parameters", "provisioner"):
        if (new.get(name) or None) != (old.get(name) or None):
            errors.append(forbidden(name, f"updates to {name} are forbidden."))
    errors += [
        invalid(name, new.get(name), "field is immutable")
        for name in ("reclaimPolicy", "volumeBindingMode")
        if new.get(name) != old.get(name)
    ]
    return errors


def attributes_class(obj: Object) -> list[FieldError]:
    errors = _provisioner_errors(obj.get("driverName", ""), "driverName")
    if not obj.get("parameters"):
        errors.append(required("parameters", "must contain at least one key/value pair"))
    return errors


def attributes_class_update(new: Object, old: Object) -> list[FieldError]:
    errors = []
    if new.get("driverName") != old.get("driverName"):
        errors.append(invalid("driverName", new.get("driverName"), "updates to driverName are forbidden."))
    if (new.get("parameters") or None) != (old.get("parameters") or None):
        errors.append(forbidden("parameters", "updates to parameters are forbidden."))
    return errors


def _driver_name_errors(name: str, path: str) -> list[FieldError]:
    if not name:
        return [required(path)]
    errors = []
    if len(name) > _DRIVER_LENGTH_MAX:
        text = f"may not be more than {_DRIVER_LENGTH_MAX} bytes"
        errors.append(FieldError(path, "FieldValueTooLong", f"Too long: {text}"))
    return errors + [invalid(path, name, text) for text in names.dns_subdomain(name.lower())]


def driver(obj: Object) -> list[FieldError]:
    """All that a driver may say of itself."""
    spec: Mapping[str, Any] = obj["spec"]
    errors = (
        []
        if len(obj["metadata"]["name"]) <= _DRIVER_LENGTH_MAX
        else _driver_name_errors(obj["metadata"]["name"], "metadata.name")
    )
    errors += [
        required(f"spec.{name}")
        for name in ("attachRequired", "podInfoOnMount", "storageCapacity")
        if spec.get(name) is None
    ]
    policy = spec.get("fsGroupPolicy")
    if policy not in _GROUP_POLICIES:
        errors.append(not_supported("spec.fsGroupPolicy", policy, _GROUP_POLICIES))
    errors += _token_errors(spec)
    for mode in spec.get("volumeLifecycleModes") or ():
        if mode not in ("Persistent", "Ephemeral"):
            path = "spec.volumeLifecycleModes"
            errors.append(not_supported(path, mode, ("Persistent", "Ephemeral"), is_set=False))
    return errors


def _token_errors(spec: Mapping[str, Any]) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, each in enumerate(spec.get("tokenRequests") or ()):
        path, audience, seconds = (
            f"spec.tokenRequests[{index}]",
            each.get("audience", ""),
            each.get("expirationSeconds"),
        )
        if audience in seen:
            errors.append(duplicate(f"{path}.audience", audience))
        seen.add(audience)
        if seconds is not None and seconds < _TOKEN_SECONDS_MIN:
            text = "may not specify a duration less than 10 minutes"
            errors.append(invalid(f"{path}.expirationSeconds", seconds, text))
        if seconds is not None and seconds > 1 << 32:
            text = "may not specify a duration larger than 2^32 seconds"
            errors.append(invalid(f"{path}.expirationSeconds", seconds, text))
    return errors


def driver_update(new: Object, old: Object) -> list[FieldError]:
    """How a driver attaches and lives does not change under its volumes."""
    errors = driver(new)
    # The field is misspelt in Kubernetes' own answer.
    shown = {"attachRequired": "attachedRequired"}
    return errors + [
        invalid(f"spec.{shown.get(name, name)}", new["spec"].get(name), "field is immutable")
        for name in ("attachRequired", "volumeLifecycleModes")
        if new["spec"].get(name) != old["spec"].get(name)
    ]


def node(obj: Object) -> list[FieldError]:
    """The drivers on one machine, each once."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, each in enumerate((obj.get("spec") or {}).get("drivers") or ()):
        path = f"spec.drivers[{index}]"
        name, count = each.get("name", ""), (each.get("allocatable") or {}).get("count")
        errors += _driver_name_errors(name, f"{path}.name")
        errors += _node_id_errors(each.get("nodeID", ""), f"{path}.nodeID")
        if count is not None and count < 0:
            text = "must be greater than or equal to 0"
            errors.append(invalid(f"{path}.allocatable.count", count, text))
        keys = each.get("topologyKeys") or ()
        for at, key in enumerate(keys):
            if key in keys[:at]:
                errors.append(duplicate(path, key))
            errors += [invalid(path, key, text) for text in names.qualified_name(key)]
        if name in seen:
            errors.append(duplicate(f"{path}.name", name))
        seen.add(name)
    return errors


def _node_id_errors(said: str, path: str) -> list[FieldError]:
    if not said:
        return [required(path)]
    return [] if len(said) <= 192 else [invalid(path, said, "must be 192 characters or less")]


def node_update(new: Object, old: Object) -> list[FieldError]:
    """A driver that is known on a machine keeps its name for it."""
    errors = node(new)
    before = {each["name"]: each for each in (old.get("spec") or {}).get("drivers") or ()}
    for each in (new.get("spec") or {}).get("drivers") or ():
        known = before.get(each["name"])
        if known is not None and _without_limits(known) != _without_limits(each):
            errors.append(invalid("spec.drivers", internal(each, "storage.v1.CSINodeDriver"), "field is immutable"))
    return errors


def _without_limits(entry: Object) -> Object:
    return {name: value for name, value in entry.items() if name != "allocatable" and value}


def attachment(obj: Object) -> list[FieldError]:
    """Who attaches what to which node."""
    spec = obj["spec"]
    errors = _driver_name_errors(spec.get("attacher", ""), "spec.attacher")
    source = spec.get("source") or {}
    names_volume, is_inline = source.get("persistentVolumeName") is not None, source.get("inlineVolumeSpec") is not None
    if not names_volume and not is_inline:
        text = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        errors.append(required("spec.source", text))
    elif names_volume and is_inline:
        text = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        errors.append(forbidden("spec.source", text))
    elif names_volume and not source["persistentVolumeName"]:
        errors.append(required("spec.source.persistentVolumeName", "must specify non empty persistentVolumeName"))
    node_name = spec.get("nodeName", "")
    return errors + [invalid("spec.nodeName", node_name, text) for text in names.dns_subdomain(node_name)]


def attachment_update(new: Object, old: Object) -> list[FieldError]:
    errors = attachment(new)
    if new["spec"] != old["spec"]:
        shown = internal(new["spec"], "storage.v1.VolumeAttachmentSpec")
        errors.append(invalid("spec", shown, "field is immutable"))
    return errors


def capacity(obj: Object) -> list[FieldError]:
    """What a class can still give in one part of the topology."""
    errors = selector_errors(obj.get("nodeTopology"), "nodeTopology")
    name = obj.get("storageClassName", "")
    if not name:
        return [*errors, required("storageClassName")]
    return errors + [invalid("storageClassName", name, text) for text in names.dns_subdomain(name)]


def capacity_update(new: Object, old: Object) -> list[FieldError]:
    return capacity(new) + [
        invalid(name, new.get(name), "field is immutable")
        for name in ("nodeTopology", "storageClassName")
        if new.get(name) != old.get(name)
    ]


VALIDATORS = {
    (_GROUP, "storageclasses"): Validator(storage_class, storage_class_update),
    (_GROUP, "volumeattributesclasses"): Validator(attributes_class, attributes_class_update),
    (_GROUP, "csidrivers"): Validator(driver, driver_update),
    (_GROUP, "csinodes"): Validator(node, node_update),
    (_GROUP, "volumeattachments"): Validator(attachment, attachment_update),
    (_GROUP, "csistoragecapacities"): Validator(capacity, capacity_update),
}
