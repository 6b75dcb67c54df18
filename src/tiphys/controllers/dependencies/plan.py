"""
Decide whether a pod that was born with the gate of dependencies may be scheduled. Pure.

A dependency is met when it does its work: a Job is complete; a workload has as many pods available as its own rollouts
leave at all times, one at least; a pod is ready or has succeeded; a Service has a ready endpoint. The gate is lifted
once and for all: what happens to a dependency later concerns only pods that are made later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import annotations_of, condition_of, key_of, uid_of
from tiphys.api.own_annotations import DEPENDENCIES_GATE, WAITS_FOR, Dependency
from tiphys.api.pods import is_ready
from tiphys.client.client import STRATEGIC_PATCH
from tiphys.reconcile.commands import Command, Patch, Say
from tiphys.reconcile.shares import resolve

Object = dict[str, Any]
# The workload and what it depends on, as (plural, name).
Node = tuple[str, str]

PODS = resources.get("", "v1", "pods")


def is_gated(pod: Mapping[str, Any]) -> bool:
    gates = pod["spec"].get("schedulingGates") or ()
    return any(gate.get("name") == DEPENDENCIES_GATE for gate in gates)


def plan(pod: Object, lacking: Sequence[str], circle: Sequence[str] = ()) -> list[Command]:
    """
    `lacking` says what each unmet dependency lacks. `circle` are the names along which the pod waits for itself: it
    waits for ever, which is told as a warning.
    """
    if not is_gated(pod):
        return []
    if not lacking and not circle:
        change: Object = {
            "metadata": {"uid": uid_of(pod), "annotations": {WAITS_FOR: None}},
            "spec": {"schedulingGates": [{"name": DEPENDENCIES_GATE, "$patch": "delete"}]},
        }
        return [
            _patch(pod, change),
            Say(pod, "Normal", "DependenciesMet", "Everything that the pod depends on is there"),
        ]
    text = f"a circle: {' → '.join(circle)}" if circle else ", ".join(lacking)
    if annotations_of(pod).get(WAITS_FOR) == text:
        return []
    said = _patch(pod, {"metadata": {"uid": uid_of(pod), "annotations": {WAITS_FOR: text}}})
    if circle:
        return [
            said,
            Say(pod, "Warning", "DependencyCircle", f"Waits for itself in {text}: change one of the annotations"),
        ]
    return [said, Say(pod, "Normal", "WaitingForDependencies", f"Waits for {text}")]


def _patch(pod: Object, change: Object) -> Patch:
    return Patch(PODS, key_of(pod), change, media_type=STRATEGIC_PATCH)


# what a dependency lacks


def lack(dependency: Dependency, obj: Object | None, ready_endpoints: int = 0) -> str:
    """What `dependency`, which is `obj`, lacks, with its name; "" when it is met."""
    if obj is None:
        why = "is not there"
    elif dependency.resource == "jobs":
        why = _of_job(obj)
    elif dependency.resource == "pods":
        ended = (obj.get("status") or {}).get("phase") == "Succeeded"
        why = "" if ended or is_ready(obj) else "is not ready"
    elif dependency.resource == "services":
        why = "" if ready_endpoints else "has no ready endpoint"
    else:
        why = _of_workload(dependency.resource, obj)
    return f"{dependency.said} ({why})" if why else ""


def _of_job(job: Object) -> str:
    if _is_true(job, "Failed"):
        return "has failed"
    return "" if _is_true(job, "Complete") or _is_true(job, "SuccessCriteriaMet") else "is not complete"


def _of_workload(resource: str, obj: Object) -> str:
    spec, status = obj["spec"], obj.get("status") or {}
    if status.get("observedGeneration", 0) < obj["metadata"].get("generation", 1):
        return "is changing"
    if resource == "daemonsets":
        wanted, available = status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
    else:
        wanted, available = spec.get("replicas", 1), status.get("availableReplicas", 0)
    if not wanted:
        return "wants no pods"
    needed = max(wanted - _may_be_away(resource, obj, wanted), 1)
    return "" if available >= needed else f"has {available} of {needed} pods available"


def _may_be_away(resource: str, obj: Object, wanted: int) -> int:
    strategy = obj["spec"].get("strategy" if resource == "deployments" else "updateStrategy") or {}
    if strategy.get("type") != "RollingUpdate":
        return 0
    most = (strategy.get("rollingUpdate") or {}).get("maxUnavailable", 0 if resource == "deployments" else 1)
    return resolve(most, wanted, up=resource == "daemonsets")


def _is_true(obj: Object, condition: str) -> bool:
    return (condition_of(obj, condition) or {}).get("status") == "True"


# circles


def circle_of(start: Node, needs: Mapping[Node, Sequence[Node]]) -> list[str]:
    """The names on a way from `start` back to it; [] when there is none. `needs`: who depends on whom."""
    ways = [[start]]
    seen: set[Node] = set()
    while ways:
        way = ways.pop()
        for following in needs.get(way[-1], ()):
            if following == start:
                return [f"{plural}/{name}" for plural, name in (*way, start)]
            if following not in seen:
                seen.add(following)
                ways.append([*way, following])
    return []
