"""Are PersistentVolumes and the claims on them valid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api import quantity
from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, forbidden, invalid, not_supported, required
from tiphys.api.validation.internal import internal
from tiphys.api.validation.scheduling import node_selector_errors
from tiphys.api.validation.validator import Object, Validator
from tiphys.api.validation.values import selector_errors

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")
_RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
_SOURCES = (
    "gcePersistentDisk", "awsElasticBlockStore", "hostPath", "glusterfs", "nfs", "rbd", "quobyte", "iscsi",
    "flexVolume", "cinder", "cephfs", "fc", "flocker", "azureFile", "vsphereVolume", "azureDisk",
    "photonPersistentDisk", "portworxVolume", "scaleIO", "local", "storageos", "csi",
)  # fmt: skip
# What each source cannot be without.
_REQUIRED = {
    "nfs": ("server", "path"), "csi": ("driver", "volumeHandle"), "local": ("path",), "hostPath": ("path",),
    "iscsi": ("targetPortal", "iqn"),
}  # fmt: skip


def access_mode_errors(modes: list[str], path: str) -> list[FieldError]:
    """Known modes, one at least, and the exclusive one alone."""
    if not modes:
        return [required(path, "at least 1 access mode is required")]
    errors = [not_supported(path, mode, ACCESS_MODES) for mode in modes if mode not in ACCESS_MODES]
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        errors.append(forbidden(path, "may not use ReadWriteOncePod with other access modes"))
    return errors


def volume(obj: Object) -> list[FieldError]:
    """How much, how, and where from."""
    spec: Mapping[str, Any] = obj["spec"]
    if not spec.get("accessModes"):
        errors = [required("spec.accessModes")]
    else:
        errors = access_mode_errors(spec["accessModes"], "spec.accessModes")
    capacity = spec.get("capacity") or {}
    if not capacity:
        errors.append(required("spec.capacity"))
    elif set(capacity) != {"storage"}:
        errors.append(not_supported("spec.capacity", capacity, ("storage",)))
    for name, amount in capacity.items():
        if quantity.parse(amount) <= 0:
            errors.append(invalid(f"spec.capacity[{name}]", amount, "must be greater than zero"))
    policy = spec.get("persistentVolumeReclaimPolicy")
    if policy and policy not in _RECLAIM_POLICIES:
        errors.append(not_supported("spec.persistentVolumeReclaimPolicy", policy, _RECLAIM_POLICIES))
    affinity = (spec.get("nodeAffinity") or {}).get("required")
    if affinity is not None:
        errors += node_selector_errors(affinity, "spec.nodeAffinity.required")
    elif spec.get("nodeAffinity") is not None:
        errors.append(required("spec.nodeAffinity.required", "must specify required node constraints"))
    return errors + _source_errors(spec) + _class_and_mode_errors(spec)


def _source_errors(spec: Mapping[str, Any]) -> list[FieldError]:
    found = [name for name in _SOURCES if spec.get(name) is not None]
    if not found:
        return [required("spec", "must specify a volume type")]
    errors = [forbidden(f"spec.{name}", "may not specify more than 1 volume type") for name in found[1:]]
    kind, source = found[0], spec[found[0]]
    errors += [required(f"spec.{kind}.{name}") for name in _REQUIRED.get(kind, ()) if not source.get(name)]
    path = source.get("path", "")
    if kind in ("hostPath", "local") and ".." in path.split("/"):
        errors.append(invalid(f"spec.{kind}.path", path, "must not contain '..'"))
    if kind == "hostPath" and path == "/" and spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        errors.append(
            forbidden("spec.persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'")
        )
    if kind == "nfs" and path and not path.startswith("/"):
        errors.append(invalid("spec.nfs.path", path, "must be an absolute path"))
    if kind == "local" and spec.get("nodeAffinity") is None:
        errors.append(required("spec.nodeAffinity", "Local volume requires node affinity"))
    return errors


def _class_and_mode_errors(spec: Mapping[str, Any]) -> list[FieldError]:
    name, mode = spec.get("storageClassName"), spec.get("volumeMode")
    errors = [invalid("spec.storageClassName", name, text) for text in names.dns_subdomain(name or "")] if name else []
    if mode is not None and mode not in VOLUME_MODES:
        errors.append(not_supported("spec.volumeMode", mode, VOLUME_MODES))
    return errors


def volume_update(new: Object, old: Object) -> list[FieldError]:
    """Where a volume comes from stays; who claims it, how much and which class may change."""
    errors = volume(new)
    spec, before = new["spec"], old["spec"]
    if any(spec.get(name) != before.get(name) for name in _SOURCES):
        errors.append(
            forbidden("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation")
        )
    if spec.get("volumeMode") != before.get("volumeMode"):
        errors.append(invalid("volumeMode", spec.get("volumeMode"), "field is immutable"))
    if before.get("nodeAffinity") is not None and spec.get("nodeAffinity") != before["nodeAffinity"]:
        shown = internal(spec.get("nodeAffinity"), "core.v1.VolumeNodeAffinity")
        text = "field is immutable, except for updating from beta label to GA"
        errors.append(invalid("nodeAffinity", shown, text))
    return errors


def claim(obj: Object) -> list[FieldError]:
    """How much, how, of which class and from what data."""
    spec = obj["spec"]
    errors = selector_errors(spec.get("selector"), "spec.selector")
    errors = access_mode_errors(spec.get("accessModes") or [], "spec.accessModes") + errors
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if size is None:
        errors.append(required("spec.resources[storage]"))
    elif quantity.parse(size) <= 0:
        errors.append(invalid("spec.resources[storage]", size, "must be greater than zero"))
    errors += _class_and_mode_errors(spec)
    for name in ("dataSource", "dataSourceRef"):
        if spec.get(name) is not None:
            errors += _data_source_errors(spec[name], f"spec.{name}")
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and reference is not None and not _agree(source, reference):
        errors.append(invalid("spec", {}, "must match dataSourceRef"))
    wanted = spec.get("volumeAttributesClassName")
    if wanted:
        path = "spec.volumeAttributesClassName"
        errors += [invalid(path, wanted, text) for text in names.dns_subdomain(wanted)]
    return errors


def _agree(source: Mapping[str, Any], reference: Mapping[str, Any]) -> bool:
    return all((source.get(name) or "") == (reference.get(name) or "") for name in ("apiGroup", "kind", "name"))


def _data_source_errors(source: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = [required(f"{path}.{name}") for name in ("name", "kind") if not source.get(name)]
    group = source.get("apiGroup") or ""
    if not group and source.get("kind") != "PersistentVolumeClaim":
        text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        errors.append(invalid(path, source.get("kind", ""), text))
    if group:
        errors += [invalid(f"{path}.apiGroup", group, text) for text in names.dns_subdomain(group)]
    return errors


def claim_update(new: Object, old: Object) -> list[FieldError]:
    """A bound claim may grow and change its class of attributes; else only the binder writes the volume's name."""
    errors = claim(new)
    spec, before = dict(new["spec"]), dict(old["spec"])
    is_bound = (old.get("status") or {}).get("phase") == "Bound"
    if not before.get("volumeName"):
        before["volumeName"] = spec.get("volumeName")
    if before.get("storageClassName") is None and _CLASS_ANNOTATION not in (old["metadata"].get("annotations") or {}):
        # A class that became the default later serves the claims that said none.
        before["storageClassName"] = spec.get("storageClassName")
    errors += _size_errors(spec, before, old)
    if is_bound:
        before["resources"] = spec.get("resources")
    before["volumeAttributesClassName"] = spec.get("volumeAttributesClassName")
    if {k: v for k, v in spec.items() if v} != {k: v for k, v in before.items() if v}:
        text = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        errors.append(forbidden("spec", text))
    return errors


def _size_errors(spec: Mapping[str, Any], before: Mapping[str, Any], old: Object) -> list[FieldError]:
    """A claim that could not grow may ask for less again, but for more than it has."""
    wanted, asked = (
        ((each.get("resources") or {}).get("requests") or {}).get("storage", "0") for each in (spec, before)
    )
    held = ((old.get("status") or {}).get("capacity") or {}).get("storage", "0")
    if quantity.parse(wanted) >= quantity.parse(asked) or quantity.parse(wanted) > quantity.parse(held):
        return []
    return [forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")]


_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
VALIDATORS = {
    ("", "persistentvolumes"): Validator(volume, volume_update),
    ("", "persistentvolumeclaims"): Validator(claim, claim_update),
}
