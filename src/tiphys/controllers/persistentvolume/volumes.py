"""
Decide what becomes of a volume: offered, bound, given back, reclaimed. Pure.

A volume belongs to the claim whose uid is in its reference. When that claim is gone the volume is Released, and its
reclaim policy says what follows; data are never handed to another claim.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import annotations_of, is_deleting, name_of, uid_of
from tiphys.api.storage import (
    BOUND_BY_CONTROLLER,
    LOCAL_PATH,
    PROVISIONED_BY,
    VOLUME_PROTECTION,
    is_local_path,
    mode_of,
    phase_of,
)
from tiphys.reconcile.commands import Command, Delete, Say, Update

Object = dict[str, Any]

VOLUMES = resources.get("", "v1", "persistentvolumes")


def plan(volume: Object, claim: Object | None, *, node_gone: bool = False) -> list[Command]:
    """
    One step. `claim` is the one that the reference names, whatever its uid. `node_gone`: the node that holds the data
    no longer exists, so nobody will ever confirm that they are removed.
    """
    if node_gone and _only_waits_for_its_node(volume):
        left = [name for name in volume["metadata"]["finalizers"] if name != LOCAL_PATH]
        return [Update(VOLUMES, {**volume, "metadata": {**volume["metadata"], "finalizers": left}})]
    ref = volume["spec"].get("claimRef")
    if not ref or not ref.get("uid"):
        return _set_phase(volume, "Available")
    if claim is None or uid_of(claim) != ref["uid"]:
        return _released(volume)
    wanted = claim["spec"].get("volumeName")
    if not wanted:
        return _mode_differs(volume, claim)
    if wanted == name_of(volume):
        return _set_phase(volume, "Bound")
    return _given_up(volume)


def _only_waits_for_its_node(volume: Object) -> bool:
    finalizers = volume["metadata"].get("finalizers") or ()
    return is_deleting(volume) and LOCAL_PATH in finalizers and VOLUME_PROTECTION not in finalizers


def _mode_differs(volume: Object, claim: Object) -> list[Command]:
    """A claim that has not chosen yet will look at this volume; it can only take one of its own mode."""
    if mode_of(volume) == mode_of(claim):
        return []
    what = f'requested PersistentVolumeClaim "{claim["metadata"]["namespace"]}/{name_of(claim)}"'
    text = f"Cannot bind PersistentVolume to {what} due to incompatible volumeMode."
    return [Say(volume, "Warning", "VolumeMismatch", text)]


def _given_up(volume: Object) -> list[Command]:
    """The claim took another volume: this one is free again, or is no longer needed where it was made for the claim."""
    if PROVISIONED_BY in annotations_of(volume) and _policy(volume) == "Delete":
        return _released(volume)
    spec, marks = dict(volume["spec"]), dict(annotations_of(volume))
    if marks.pop(BOUND_BY_CONTROLLER, None):
        del spec["claimRef"]
    else:
        # A person wrote the reference: the volume stays reserved for that name.
        kept = {key: value for key, value in spec["claimRef"].items() if key not in ("uid", "resourceVersion")}
        spec["claimRef"] = kept
    return [Update(VOLUMES, {**volume, "metadata": {**volume["metadata"], "annotations": marks}, "spec": spec})]


# the end of a bond


def _released(volume: Object) -> list[Command]:
    """Released first, so that everybody sees it; the next plan reclaims."""
    if phase_of(volume) not in ("Released", "Failed"):
        return _set_phase(volume, "Released")
    if is_deleting(volume) or _policy(volume) == "Retain":
        return []
    if _policy(volume) == "Recycle":
        return _fail(volume, "VolumeFailedRecycle", "No recycler plugin found for the volume!")
    if is_local_path(volume):
        return [Delete(VOLUMES, ("", name_of(volume)), uid_of(volume))]
    if PROVISIONED_BY in annotations_of(volume):
        return []  # whoever made it removes it
    return _fail(volume, "VolumeFailedDelete", _not_deletable(volume))


def _policy(volume: Mapping[str, Any]) -> str:
    return str(volume["spec"].get("persistentVolumeReclaimPolicy") or "Retain")


def _not_deletable(volume: Object) -> str:
    path = (volume["spec"].get("hostPath") or {}).get("path")
    if path and not path.startswith("/tmp/"):
        return f"host_path deleter only supports /tmp/.+ but received provided {path}"
    return f'error getting deleter volume plugin for volume "{name_of(volume)}": no deletable volume plugin matched'


def _fail(volume: Object, reason: str, text: str) -> list[Command]:
    status = {"phase": "Failed", "message": text}
    said = Say(volume, "Warning", reason, text)
    before = volume.get("status") or {}
    if all(before.get(key) == value for key, value in status.items()):
        return []
    return [_with_status(volume, status), said]


def _set_phase(volume: Object, phase: str) -> list[Command]:
    return [] if phase_of(volume) == phase else [_with_status(volume, {"phase": phase})]


def _with_status(volume: Object, status: Object) -> Command:
    kept = {key: value for key, value in (volume.get("status") or {}).items() if key not in ("message", "reason")}
    return Update(VOLUMES, {**volume, "status": {**kept, **status}}, "status")
