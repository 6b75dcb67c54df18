"""The five conditions that the node agent owns on a pod. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.api.objects import timestamp
from tiphys.node.pod import spec
from tiphys.node.pod.facts import Held, Resize

Object = dict[str, Any]
Pod = Mapping[str, Any]

OWNED = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
# Whoever disrupts a pod sets it: the API server for an eviction that was asked for, the node for its own.
DISRUPTION = "DisruptionTarget"
# The reasons of pods that the node ends.
DISRUPTIONS = ("Evicted", "Terminated")
# Ours, too, but there only while they have something to say.
PENDING, IN_PROGRESS = "PodResizePending", "PodResizeInProgress"
RESTARTING = "AllContainersRestarting"
PASSING = (PENDING, IN_PROGRESS, RESTARTING)


def conditions_of(pod: Pod, status: Mapping[str, Any], *, can_start: bool, initialized: bool) -> list[Object]:
    """The owned conditions for a status whose phase and container statuses are filled; no times yet."""
    containers_ready = _containers_ready(pod, status)
    return [
        _condition("PodReadyToStartContainers", can_start),
        _initialized(pod, status, initialized=initialized),
        _ready(pod, status, containers_ready),
        containers_ready,
        _condition("PodScheduled", True),
    ]


def settled(pod: Pod, owned: Sequence[Object], previous: Sequence[Mapping[str, Any]], now: float) -> list[Object]:
    """
    The condition list to write: a transition time moves only when the status flips; conditions of others are kept.
    """
    before = {condition["type"]: condition for condition in previous}
    generation = pod["metadata"].get("generation")
    result: list[Object] = []
    for condition in owned:
        known = before.get(condition["type"])
        same = known is not None and known.get("status") == condition["status"]
        moved_at = known.get("lastTransitionTime") if same and known is not None else None
        full = {**condition, "lastTransitionTime": moved_at or timestamp(now), "lastProbeTime": None}
        if generation:
            full.setdefault("observedGeneration", generation)
        if same and known is not None and condition["type"] == "PodScheduled":
            # The scheduler's; only a pod that never met one gets it from here.
            full = dict(known)
        result.append(full)
    taken = {*OWNED, *PASSING, *(condition["type"] for condition in owned)}
    return result + [dict(c) for c in previous if c["type"] not in taken]


def disrupted(message: str) -> Object:
    """Told of a pod that the node evicts, so that a Job need not count it as its own failure."""
    return _condition(DISRUPTION, True, "TerminationByKubelet", message)


def resizing(held: Held | None, resize: Resize | None) -> list[Object]:
    """What is told of a resize until it is in force; each of the generation that it is of."""
    found = []
    if held is not None:
        found.append({**_condition(PENDING, True, held.reason, held.message), "observedGeneration": held.generation})
    if resize is not None:
        reason = "Error" if resize.error else ""
        told = _condition(IN_PROGRESS, True, reason, resize.error)
        found.append({**told, "observedGeneration": resize.generation})
    return found


def restarting(status: Mapping[str, Any], *, under_way: bool) -> Object:
    """Of a pod whose containers can all be made to begin anew by the end of one."""
    if status["phase"] in ("Succeeded", "Failed"):
        return _condition(RESTARTING, False, "PodCompleted" if status["phase"] == "Succeeded" else "PodFailed")
    if not under_way:
        return _condition(RESTARTING, False)
    return _condition(RESTARTING, True, "RestartAllContainersStarted", "container exited with restart policy rule")


def _condition(kind: str, met: bool, reason: str = "", message: str = "") -> Object:
    condition: Object = {"type": kind, "status": "True" if met else "False"}
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    return condition


def _listed(text: str, names: Sequence[str]) -> list[str]:
    return [f"{text}: [{' '.join(names)}]"] if names else []


def _containers_ready(pod: Pod, status: Mapping[str, Any]) -> Object:
    found = {s["name"]: s for s in [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]}
    watched = [c["name"] for c in spec.init_containers(pod) if spec.is_sidecar(c)]
    watched += [c["name"] for c in spec.main_containers(pod)]
    unknown = [name for name in watched if name not in found]
    if status["phase"] in ("Succeeded", "Failed") and not unknown:
        reason = "PodCompleted" if status["phase"] == "Succeeded" else "PodFailed"
        return _condition("ContainersReady", False, reason)
    unready = [name for name in watched if name in found and not found[name]["ready"]]
    messages = _listed("containers with unknown status", unknown) + _listed("containers with unready status", unready)
    if messages:
        return _condition("ContainersReady", False, "ContainersNotReady", ", ".join(messages))
    return _condition("ContainersReady", True)


def _ready(pod: Pod, status: Mapping[str, Any], containers_ready: Object) -> Object:
    if containers_ready["status"] != "True":
        return {**containers_ready, "type": "Ready"}
    others = {c["type"]: c for c in (pod.get("status") or {}).get("conditions") or ()}
    messages = []
    for gate in pod["spec"].get("readinessGates") or ():
        kind = gate["conditionType"]
        if kind not in others:
            messages.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif others[kind]["status"] != "True":
            found = others[kind]["status"]
            messages.append(f'the status of pod readiness gate "{kind}" is not "True", but {found}')
    if messages:
        return _condition("Ready", False, "ReadinessGatesNotReady", ", ".join(messages))
    return _condition("Ready", True)


def _initialized(pod: Pod, status: Mapping[str, Any], *, initialized: bool) -> Object:
    if status["phase"] == "Succeeded":
        return _condition("Initialized", True, "PodCompleted")
    if initialized:
        return _condition("Initialized", True)
    found = {s["name"]: s for s in status.get("initContainerStatuses", ())}
    unknown = [c["name"] for c in spec.init_containers(pod) if c["name"] not in found]
    incomplete = [
        c["name"]
        for c in spec.init_containers(pod)
        if c["name"] in found and not (found[c["name"]]["started"] if spec.is_sidecar(c) else found[c["name"]]["ready"])
    ]
    messages = _listed("containers with unknown status", unknown)
    messages += _listed("containers with incomplete status", incomplete)
    if messages:
        return _condition("Initialized", False, "ContainersNotInitialized", ", ".join(messages))
    return _condition("Initialized", True)
