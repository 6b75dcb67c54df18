"""
What a pod has been given of CPU and memory, beside what its object asks for: the two differ while a resize waits. Pure.

The node works with the pod *as allocated* (`as_allocated`): the object itself as long as nobody resizes it, otherwise a
copy that holds the resources which were given last. Only CPU and memory of containers and of the pod as a whole change.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tiphys.api import pods, quantity
from tiphys.node.pod import spec
from tiphys.node.pod.facts import Waiting

Object = dict[str, Any]
Pod = Mapping[str, Any]

DEFERRED, INFEASIBLE = "Deferred", "Infeasible"
RESIZABLE = ("cpu", "memory")
LISTS = ("initContainers", "containers")

_CLASSES = (pods.GUARANTEED, pods.BURSTABLE, pods.BEST_EFFORT)


def allocation_of(pod: Pod) -> Object:
    """The resources of each container and of the whole, as they can be written to a file."""
    found: Object = {c["name"]: c["resources"] for c in spec.all_containers(pod) if c.get("resources")}
    return {"containers": found, "pod": pod["spec"].get("resources") or {}}


def as_allocated(pod: Object, allocation: Mapping[str, Any]) -> Object:
    """The pod with the resources that it was given: itself where those are what it asks for."""
    if allocation_of(pod) == allocation:
        return pod
    given = allocation["containers"]
    changed: Object = dict(pod["spec"])
    for name in LISTS:
        if name in changed:
            changed[name] = [_with_resources(container, given.get(container["name"])) for container in changed[name]]
    return {**pod, "spec": _with_resources(changed, allocation["pod"])}


def _with_resources(holder: Mapping[str, Any], resources: Mapping[str, Any] | None) -> Object:
    rest = {name: value for name, value in holder.items() if name != "resources"}
    return {**rest, "resources": resources} if resources else rest


def reported(pod: Pod) -> Object:
    """What the pod's status tells of its allocation: the witness of an agent that left no other."""
    status, found = pod.get("status") or {}, allocation_of(pod)
    told = {
        one["name"]: one["resources"]
        for part in ("initContainerStatuses", "containerStatuses")
        for one in status.get(part) or ()
        if one.get("resources")
    }
    for name, asked in found["containers"].items():
        if name in told:
            found["containers"][name] = _restored(asked, told[name])
    if found["pod"] and status.get("resources"):
        found["pod"] = _restored(found["pod"], status["resources"])
    return found


def _restored(asked: Mapping[str, Any], told: Mapping[str, Any]) -> Object:
    """What is asked for, with CPU and memory as they were told."""
    made: Object = dict(asked)
    for part in ("limits", "requests"):
        rest = {name: value for name, value in (asked.get(part) or {}).items() if name not in RESIZABLE}
        rest |= {name: value for name, value in (told.get(part) or {}).items() if name in RESIZABLE}
        if rest:
            made[part] = rest
        else:
            made.pop(part, None)
    return made


def objection(wanted: Pod, others: Iterable[Pod], node: Pod) -> Waiting | None:
    """
    Why the pod is not given what it wants: Infeasible is for good, Deferred until others give something back. None when
    it fits. `others` are the other pods that hold something here, as allocated.
    """
    if spec.is_static(wanted):
        return Waiting(INFEASIBLE, "In-place resize of static-pods is not supported")
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    requested = pods.requests_of(wanted)
    held = [pods.requests_of(other) for other in others]
    deferred = None
    for name in RESIZABLE:
        offered = str(allocatable.get(name, "0"))
        capacity = quantity.milli(offered) if name == "cpu" else quantity.value(offered)
        amount, used = requested.get(name, 0), sum(requests.get(name, 0) for requests in held)
        if amount > capacity:
            text = f"Node didn't have enough capacity: {name}, requested: {amount}, capacity: {capacity}"
            return Waiting(INFEASIBLE, text)
        if amount > capacity - used and deferred is None:
            text = f"Node didn't have enough resource: {name}, requested: {amount}, used: {used}, capacity: {capacity}"
            deferred = Waiting(DEFERRED, text)
    return deferred


def turn(pod: Pod, since: float) -> tuple[int, int, float]:
    """Who is asked first when room comes: by priority, then by class of service, then who has waited longest."""
    return (-int(pod["spec"].get("priority") or 0), _CLASSES.index(pods.qos_class(pod)), since)


def summary(pod: Pod, generation: int, error: str = "") -> str:
    """The resources that an event about a resize tells, as JSON."""
    told: Object = {}
    for name in LISTS:
        some = [c for c in pod["spec"].get(name) or () if name == "containers" or spec.is_sidecar(c)]
        if some:
            told[name] = [{"name": c["name"], "resources": _sorted(c.get("resources"))} for c in some]
    told["generation"] = generation
    if error:
        told["error"] = error
    return json.dumps(told, separators=(",", ":"))


def _sorted(resources: Mapping[str, Any] | None) -> Object:
    found = resources or {}
    return {part: dict(sorted(found[part].items())) for part in ("limits", "requests") if found.get(part)}
