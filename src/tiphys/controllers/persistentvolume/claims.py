"""
Decide what becomes of a claim: wait, bind, have a volume made for it, or be lost. Pure.

Binding writes both sides, one step of each object a plan: volume.claimRef and claim.volumeName first, the phases when
both are seen. Each step can be lost to a crash: the next plan goes on from what is there, and a volume that points at a
claim is never given to another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import annotations_of, is_deleting, name_of, namespace_of, uid_of
from tiphys.api.storage import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    SELECTED_NODE,
    best_match,
    class_of,
    has_class,
    is_of,
    mismatch,
    mode_of,
    phase_of,
)
from tiphys.controllers.persistentvolume import provisioning
from tiphys.reconcile.commands import Command, Say, Update

Object = dict[str, Any]

CLAIMS = resources.get("", "v1", "persistentvolumeclaims")
VOLUMES = resources.get("", "v1", "persistentvolumes")


@dataclass(frozen=True, slots=True)
class Facts:
    """
    `named`: the volume that the claim names. `volumes`: all, for a claim that names none. `storage_class`: the claim's,
    None if it does not exist. `default`: the name of the default class. `waiting_pods`: the pods that use the claim and
    have no node. `node`: the one that was selected for its first pod.
    """

    named: Object | None = None
    volumes: Sequence[Object] = ()
    storage_class: Object | None = None
    default: str = ""
    waiting_pods: Sequence[str] = ()
    node: Object | None = None


def plan(claim: Object, facts: Facts) -> list[Command]:
    """One step towards a bound claim."""
    if BIND_COMPLETED in annotations_of(claim):
        return _bound(claim, facts)
    if claim["spec"].get("volumeName"):
        return _asks_for(claim, facts)
    return _unbound(claim, facts)


# a claim that names no volume


def _unbound(claim: Object, facts: Facts) -> list[Command]:
    # Where the scheduler chooses, it reserves a volume that is there by writing its claimRef.
    delayed = (facts.storage_class or {}).get("volumeBindingMode") == "WaitForFirstConsumer"
    found = best_match(claim, facts.volumes, reserved_only=delayed)
    if found is not None:
        return _bind(claim, found)
    if not has_class(claim) and facts.default:
        return [Update(CLAIMS, {**claim, "spec": {**claim["spec"], "storageClassName": facts.default}})]
    waits = delayed and SELECTED_NODE not in annotations_of(claim)
    return [*_why_not(claim, facts, waits=waits), *_set_pending(claim)]


def _why_not(claim: Object, facts: Facts, *, waits: bool) -> list[Command]:
    if is_deleting(claim):
        return []
    if waits:
        return [_waiting(claim, facts.waiting_pods)]
    if class_of(claim):
        return provisioning.plan(claim, class_of(claim), facts.storage_class, facts.node)
    text = "no persistent volumes available for this claim and no storage class is set"
    return [Say(claim, "Normal", "FailedBinding", text)]


def _waiting(claim: Object, pods: Sequence[str]) -> Command:
    if not pods:
        text = "waiting for first consumer to be created before binding"
        return Say(claim, "Normal", "WaitForFirstConsumer", text)
    names = ",".join(sorted(pods))
    text = f"waiting for pod{'s' if len(pods) > 1 else ''} {names} to be scheduled"
    return Say(claim, "Normal", "WaitForPodScheduled", text)


def _set_pending(claim: Object) -> list[Command]:
    return [] if phase_of(claim) == "Pending" else [_with_status(claim, {"phase": "Pending"})]


# a claim that names a volume


def _asks_for(claim: Object, facts: Facts) -> list[Command]:
    volume, name = facts.named, claim["spec"]["volumeName"]
    if volume is None:
        return _set_pending(claim)
    if not volume["spec"].get("claimRef"):
        why = mismatch(volume, claim)
        if why:
            text = f'Cannot bind to requested volume "{name}": {why}'
            return [Say(claim, "Warning", "VolumeMismatch", text), *_set_pending(claim)]
        return _bind(claim, volume)
    if is_of(volume, claim):
        return _bind(claim, volume)
    text = f'volume "{name}" already bound to a different claim.'
    return [Say(claim, "Warning", "FailedBinding", text), *_set_pending(claim)]


def _bind(claim: Object, volume: Object) -> list[Command]:
    """Both sides of the bond; a volume's own mode is checked once more, because a person may have reserved it."""
    if mode_of(volume) != mode_of(claim):
        text = f'Cannot bind to requested volume "{name_of(volume)}": incompatible volumeMode'
        return [Say(claim, "Warning", "VolumeMismatch", text), *_set_pending(claim)]
    return [*bind_volume(volume, claim), *_bind_claim(claim, volume)]


def bind_volume(volume: Object, claim: Object) -> list[Command]:
    """The volume's side. Only a reference that we made is ours to take back: the annotation remembers."""
    ref = volume["spec"].get("claimRef")
    if ref and ref.get("uid") == uid_of(claim):
        return []
    marks = annotations_of(volume) if ref else {**annotations_of(volume), BOUND_BY_CONTROLLER: "yes"}
    spec = {**volume["spec"], "claimRef": reference_to(claim)}
    return [Update(VOLUMES, {**volume, "metadata": {**volume["metadata"], "annotations": dict(marks)}, "spec": spec})]


def reference_to(claim: Mapping[str, Any]) -> Object:
    meta = claim["metadata"]
    reference = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace_of(claim)}
    return reference | {"name": name_of(claim), "uid": uid_of(claim), "resourceVersion": meta["resourceVersion"]}


def _bind_claim(claim: Object, volume: Object) -> list[Command]:
    marks = {**annotations_of(claim), BIND_COMPLETED: "yes"}
    if not claim["spec"].get("volumeName"):
        marks[BOUND_BY_CONTROLLER] = "yes"
    meta = {**claim["metadata"], "annotations": marks}
    return [Update(CLAIMS, {**claim, "metadata": meta, "spec": {**claim["spec"], "volumeName": name_of(volume)}})]


# a claim that was bound


def _bound(claim: Object, facts: Facts) -> list[Command]:
    volume = facts.named
    if not claim["spec"].get("volumeName"):
        text = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
        return _lose(claim, "ClaimLost", text)
    if volume is None:
        text = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
        return _lose(claim, "ClaimLost", text)
    if not volume["spec"].get("claimRef"):
        return bind_volume(volume, claim)
    if not is_of(volume, claim):
        text = "Two claims are bound to the same volume, this one is bound incorrectly"
        return _lose(claim, "ClaimMisbound", text)
    return [*bind_volume(volume, claim), *_set_bound(claim, volume)]


def _lose(claim: Object, reason: str, text: str) -> list[Command]:
    if phase_of(claim) == "Lost":
        return []
    status = {**(claim.get("status") or {}), "phase": "Lost"}
    status.pop("accessModes", None)
    status.pop("capacity", None)
    return [_with_status(claim, status), Say(claim, "Warning", reason, text)]


def _set_bound(claim: Object, volume: Object) -> list[Command]:
    """The capacity is the volume's at that moment; later the node says what the file system has grown to."""
    before = claim.get("status") or {}
    status = {**before, "phase": "Bound", "accessModes": list(volume["spec"].get("accessModes") or ())}
    if phase_of(claim) != "Bound" or not before.get("capacity"):
        status["capacity"] = dict(volume["spec"]["capacity"])
        attributes = volume["spec"].get("volumeAttributesClassName")
        status |= {"currentVolumeAttributesClassName": attributes} if attributes else {}
    return [] if status == before else [_with_status(claim, status)]


def _with_status(claim: Object, status: Object) -> Command:
    return Update(CLAIMS, {**claim, "status": status}, "status")
