"""
What a pod that is being resized takes: its node holds the old until it has the new.

Until a resize is done, the larger of what is wished, set aside and in use counts; a wish that its node can never grant
does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.api.objects import condition_of
from tiphys.scheduler.nodes import amount

Object = dict[str, Any]
Requests = Mapping[str, Any]


def told_otherwise(pod: Object) -> tuple[tuple[str, Requests, Requests], ...]:
    """Containers whose status says other requests than the spec: name, set aside, in use."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    if not any("resources" in each or "allocatedResources" in each for each in statuses):
        return ()
    wished = {c["name"]: (c.get("resources") or {}).get("requests") or {} for c in pod["spec"]["containers"]}
    found = []
    for each in statuses:
        said = wished.get(each["name"], {})
        aside = each.get("allocatedResources") or said
        used = (each.get("resources") or {}).get("requests") or said
        if (aside, used) != (said, said):
            found.append((each["name"], aside, used))
    return tuple(found)


def as_resized(pod: Object) -> Object:
    """The pod with the requests that count; the pod itself if it is not being resized."""
    told = told_otherwise(pod)
    if not told:
        return pod
    pending = condition_of(pod, "PodResizePending") or {}
    never = pending.get("status") == "True" and pending.get("reason") == "Infeasible"
    held = {name: (aside, used) for name, aside, used in told}
    containers = [
        {**c, "resources": {**(c.get("resources") or {}), "requests": _counted(c, held[c["name"]], never=never)}}
        if c["name"] in held
        else c
        for c in pod["spec"]["containers"]
    ]
    return {**pod, "spec": {**pod["spec"], "containers": containers}}


def _counted(container: Object, told: Sequence[Requests], *, never: bool) -> dict[str, Any]:
    wished = (container.get("resources") or {}).get("requests") or {}
    found: dict[str, Any] = {}
    for requests in told if never else (wished, *told):
        for name, quantity in requests.items():
            if name not in found or amount(name, quantity) > amount(name, found[name]):
                found[name] = quantity
    return found
