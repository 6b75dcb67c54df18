"""
Decide how a claim gets more room. Pure.

A claim asks for more in its spec. What the control plane does for a local-path volume is to write the new size into the
volume; its node grows the data and says so in the claim's capacity. For other drivers it only says who is waited for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api import quantity, resources, storage
from tiphys.api.objects import is_deleting, key_of, name_of, timestamp, uid_of
from tiphys.client.client import STRATEGIC_PATCH
from tiphys.reconcile.commands import Command, Patch, Say

Object = dict[str, Any]

CLAIMS = resources.get("", "v1", "persistentvolumeclaims")
VOLUMES = resources.get("", "v1", "persistentvolumes")
PENDING = "FileSystemResizePending"
WAITS = "Waiting for user to (re-)start a pod to finish file system resize of volume on node."


def plan(claim: Object, volume: Object | None, storage_class: Mapping[str, Any] | None, now: float) -> list[Command]:
    """For a bound claim and its volume; the class must allow it."""
    if volume is None or is_deleting(claim) or storage.phase_of(claim) != "Bound" or not storage.is_of(volume, claim):
        return []
    wanted = storage.requested_bytes(claim)
    if wanted <= _held_bytes(claim) or not (storage_class or {}).get("allowVolumeExpansion"):
        return []
    if storage.is_local_path(volume):
        return _grow(claim, volume, now)
    if volume["spec"].get("csi") or storage.PROVISIONED_BY in volume["metadata"].get("annotations", {}):
        return [Say(claim, "Normal", "ExternalExpanding", "waiting for an external controller to expand this PVC")]
    text = (
        "Ignoring the PVC: didn't find a plugin capable of expanding the volume; "
        "waiting for an external controller to process this PVC."
    )
    return [Say(claim, "Warning", "ExternalExpanding", text)]


def _held_bytes(claim: Mapping[str, Any]) -> int:
    capacity = (claim.get("status") or {}).get("capacity") or {}
    return quantity.value(str(capacity.get("storage") or "0"))


def _grow(claim: Object, volume: Object, now: float) -> list[Command]:
    """The volume first: its node acts on that. A volume that is larger already only waits for its node."""
    asked = claim["spec"]["resources"]["requests"]["storage"]
    commands: list[Command] = []
    if storage.capacity_bytes(volume) < storage.requested_bytes(claim):
        meta = {"uid": uid_of(volume), "resourceVersion": volume["metadata"]["resourceVersion"]}
        change = {"metadata": meta, "spec": {"capacity": {"storage": asked}}}
        commands.append(Patch(VOLUMES, ("", name_of(volume)), change))
    status = claim.get("status") or {}
    waits = any(condition["type"] == PENDING for condition in status.get("conditions") or ())
    if waits and (status.get("allocatedResources") or {}).get("storage") == asked:
        return commands
    condition: Object = {"type": PENDING, "status": "True", "message": WAITS, "lastTransitionTime": timestamp(now)}
    wanted: Object = {
        "conditions": [condition],
        "allocatedResources": {"storage": asked},
        "allocatedResourceStatuses": {"storage": "NodeResizePending"},
    }
    meta = {"uid": uid_of(claim), "resourceVersion": claim["metadata"]["resourceVersion"]}
    patch = {"metadata": meta, "status": wanted}
    told = Say(claim, "Normal", "FileSystemResizeRequired", "Require file system resize of volume on node")
    # The claim waits before the volume grows: the node takes the condition away when it is done.
    return [Patch(CLAIMS, key_of(claim), patch, "status", STRATEGIC_PATCH), told, *commands]
