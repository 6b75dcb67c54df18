"""Defaults of volumes, claims, classes and drivers."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

_GROUP = "storage.k8s.io"


def persistent_volume(obj: Object) -> None:
    """Retained, with a file system, and pending until a controller says otherwise."""
    spec = obj.setdefault("spec", {})
    obj.setdefault("status", {}).setdefault("phase", "Pending")
    spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
    spec.setdefault("volumeMode", "Filesystem")
    if "hostPath" in spec:
        spec["hostPath"].setdefault("type", "")
    if "iscsi" in spec:
        spec["iscsi"].setdefault("iscsiInterface", "default")
    if "rbd" in spec:
        _fill(spec["rbd"], pool="rbd", user="admin", keyring="/etc/ceph/keyring")
    if "azureDisk" in spec:
        _fill(spec["azureDisk"], cachingMode="ReadWrite", kind="Shared", fsType="ext4", readOnly=False)
    if "scaleIO" in spec:
        _fill(spec["scaleIO"], storageMode="ThinProvisioned", fsType="xfs")


def _fill(source: Object, **values: Any) -> None:
    for name, value in values.items():
        source.setdefault(name, value)


def claim(obj: Object) -> None:
    """A file system, pending."""
    spec = obj.setdefault("spec", {})
    obj.setdefault("status", {}).setdefault("phase", "Pending")
    spec.setdefault("volumeMode", "Filesystem")
    for name in ("dataSource", "dataSourceRef"):
        if spec.get(name) is not None:
            # The core group is null here, and shown.
            spec[name].setdefault("apiGroup", None)


def storage_class(obj: Object) -> None:
    obj.setdefault("reclaimPolicy", "Delete")
    obj.setdefault("volumeBindingMode", "Immediate")


def driver(obj: Object) -> None:
    """What a driver does unless it says otherwise."""
    spec = obj.setdefault("spec", {})
    _fill(
        spec, attachRequired=True, podInfoOnMount=False, storageCapacity=False, fsGroupPolicy="ReadWriteOnceWithFSType"
    )
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]
    _fill(spec, requiresRepublish=False, seLinuxMount=False)


DEFAULTS = {
    ("", "persistentvolumes"): persistent_volume,
    ("", "persistentvolumeclaims"): claim,
    (_GROUP, "storageclasses"): storage_class,
    (_GROUP, "csidrivers"): driver,
}
