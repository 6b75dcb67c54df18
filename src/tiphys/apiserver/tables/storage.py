"""The cells of volumes, claims, classes and drivers."""

from __future__ import annotations

from typing import Any

from tiphys.apiserver.tables.words import NONE, UNSET, Object, age

_SHORT_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
_DEFAULT_ANNOTATIONS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


def persistentvolume(obj: Object, now: float) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    claim = spec.get("claimRef")
    return [
        _name(obj),
        (spec.get("capacity") or {}).get("storage", "0"),
        _modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        _phase(obj),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        _class(obj),
        spec.get("volumeAttributesClassName") or UNSET,
        status.get("reason", ""),
        age(obj, now),
        spec.get("volumeMode") or UNSET,
    ]


def persistentvolumeclaim(obj: Object, now: float) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    bound = bool(spec.get("volumeName"))
    return [
        _name(obj),
        _phase(obj),
        spec.get("volumeName", ""),
        (status.get("capacity") or {}).get("storage", "0") if bound else "",
        _modes(status.get("accessModes")) if bound else "",
        _class(obj),
        spec.get("volumeAttributesClassName") or UNSET,
        age(obj, now),
        spec.get("volumeMode") or UNSET,
    ]


def _phase(obj: Object) -> str:
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    return str((obj.get("status") or {}).get("phase", ""))


def _modes(modes: Any) -> str:
    """Each once, in the order of the table above."""
    return ",".join([short for long, short in _SHORT_MODES.items() if long in (modes or ())])


def _class(obj: Object) -> str:
    annotated = (obj["metadata"].get("annotations") or {}).get(_CLASS_ANNOTATION)
    return str(annotated if annotated is not None else obj["spec"].get("storageClassName") or "")


def storageclass(obj: Object, now: float) -> list[Any]:
    return [
        _default_marked(obj),
        obj.get("provisioner", ""),
        obj.get("reclaimPolicy") or "Delete",
        obj.get("volumeBindingMode") or "Immediate",
        bool(obj.get("allowVolumeExpansion")),
        age(obj, now),
    ]


def _default_marked(obj: Object) -> str:
    annotations = obj["metadata"].get("annotations") or {}
    is_default = any(annotations.get(name) == "true" for name in _DEFAULT_ANNOTATIONS)
    return f"{_name(obj)} (default)" if is_default else _name(obj)


def volumeattributesclass(obj: Object, now: float) -> list[Any]:
    return [_name(obj), obj.get("driverName", ""), age(obj, now)]


def volumeattachment(obj: Object, now: float) -> list[Any]:
    spec, status = obj["spec"], obj.get("status") or {}
    volume = (spec.get("source") or {}).get("persistentVolumeName") or ""
    where = [spec.get("attacher", ""), volume, spec.get("nodeName", ""), bool(status.get("attached"))]
    return [_name(obj), *where, age(obj, now)]


def csidriver(obj: Object, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    audiences = ",".join([one.get("audience", "") for one in spec.get("tokenRequests") or ()])
    return [
        _name(obj),
        spec.get("attachRequired", True),
        bool(spec.get("podInfoOnMount")),
        bool(spec.get("storageCapacity")),
        audiences or UNSET,
        bool(spec.get("requiresRepublish")),
        ",".join(spec.get("volumeLifecycleModes") or ()) or NONE,
        age(obj, now),
    ]


def csinode(obj: Object, now: float) -> list[Any]:
    return [_name(obj), len((obj.get("spec") or {}).get("drivers") or ()), age(obj, now)]


def _name(obj: Object) -> str:
    return str(obj["metadata"]["name"])
