"""
Decide what a node's conditions and taints should say, from how long ago it gave a sign of life.

Pure: `silent_since` is the moment (by our own clock) at which the last renewal of the node's lease was *seen*, so that
a node with a wrong clock, and a controller that was stopped for a while, both err on the side of life.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import condition_of, is_deleting, key_of, timestamp, uid_of
from tiphys.client.client import STRATEGIC_PATCH
from tiphys.reconcile.commands import Command, Patch, Requeue, Say

Object = dict[str, Any]

NODES = resources.get("", "v1", "nodes")
PODS = resources.get("", "v1", "pods")

# Kubernetes' node monitor grace period: four renewals of a lease may be lost.
GRACE_SECONDS = 40.0
NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
# Taints that follow conditions: (condition, status) → taint key.
BY_CONDITION: Mapping[tuple[str, str], str] = {
    ("Ready", "False"): NOT_READY,
    ("Ready", "Unknown"): UNREACHABLE,
    ("MemoryPressure", "True"): "node.kubernetes.io/memory-pressure",
    ("DiskPressure", "True"): "node.kubernetes.io/disk-pressure",
    ("PIDPressure", "True"): "node.kubernetes.io/pid-pressure",
    ("NetworkUnavailable", "True"): "node.kubernetes.io/network-unavailable",
}
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
OURS = frozenset((*BY_CONDITION.values(), UNSCHEDULABLE))
EVICTING = frozenset((NOT_READY, UNREACHABLE))
SILENT_REASON, SILENT_MESSAGE = "NodeStatusUnknown", "Kubelet stopped posting node status."
POSTED_CONDITIONS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


def plan(node: Object, pods: Sequence[Object], silent_since: float, now: float) -> list[Command]:
    """Mark a silent node, keep its taints in step with its conditions, and its pods unready while it is."""
    left = silent_since + GRACE_SECONDS - now
    conditions = list((node.get("status") or {}).get("conditions") or ())
    commands: list[Command] = []
    if left <= 0:
        conditions, changed = _silenced(conditions, now)
        if changed:
            commands.append(_patch_status(node, conditions))
            text = f"Node {node['metadata']['name']} status is now: NodeNotReady"
            commands.append(Say(node, "Normal", "NodeNotReady", text))
    else:
        commands.append(Requeue(left))
    commands += _retaint(node, conditions, now)
    if _status(conditions, "Ready") != "True":
        commands += _unready(pods, now)
    return commands


def _silenced(conditions: Sequence[Object], now: float) -> tuple[list[Object], bool]:
    """The conditions of a node that says nothing any more."""
    at = timestamp(now)
    held = {condition["type"]: condition for condition in conditions}
    fresh: list[Object] = [c for c in conditions if c["type"] not in POSTED_CONDITIONS]
    changed = False
    for kind in POSTED_CONDITIONS:
        before = held.get(kind)
        if before is not None and before["status"] == "Unknown":
            fresh.append(before)
            continue
        never = {"reason": "NodeStatusNeverUpdated", "message": "Kubelet never posted node status."}
        why = {"reason": SILENT_REASON, "message": SILENT_MESSAGE} if before is not None else never
        heard = {"lastHeartbeatTime": before["lastHeartbeatTime"]} if before and "lastHeartbeatTime" in before else {}
        fresh.append({"type": kind, "status": "Unknown", **why, **heard, "lastTransitionTime": at})
        changed = True
    return fresh, changed


def _patch_status(node: Object, conditions: Sequence[Object]) -> Patch:
    patch = {"metadata": {"uid": uid_of(node)}, "status": {"conditions": list(conditions)}}
    return Patch(NODES, key_of(node), patch, "status", STRATEGIC_PATCH)


def _retaint(node: Object, conditions: Sequence[Object], now: float) -> list[Command]:
    """Our taints as the conditions want them; everybody else's are left alone."""
    held = list((node.get("spec") or {}).get("taints") or ())
    wanted = wanted_taints(node, conditions)
    kept = [t for t in held if t["key"] not in OURS or (t["key"], t["effect"]) in wanted]
    present = {(t["key"], t["effect"]) for t in kept}
    added = [_taint(key, effect, now) for key, effect in sorted(wanted - present)]
    if not added and len(kept) == len(held):
        return []
    meta = {"uid": uid_of(node), "resourceVersion": node["metadata"].get("resourceVersion", "")}
    return [Patch(NODES, key_of(node), {"metadata": meta, "spec": {"taints": [*kept, *added] or None}})]


def wanted_taints(node: Object, conditions: Iterable[Object]) -> set[tuple[str, str]]:
    """The (key, effect) pairs that a node with these conditions has."""
    keys = {BY_CONDITION[c["type"], c["status"]] for c in conditions if (c["type"], c["status"]) in BY_CONDITION}
    if _status(conditions, "Ready") == "":
        keys.add(NOT_READY)  # a node that never said anything
    wanted = {(key, "NoSchedule") for key in keys}
    if not is_new(node):
        wanted |= {(key, "NoExecute") for key in keys & EVICTING}
    if (node.get("spec") or {}).get("unschedulable"):
        wanted.add((UNSCHEDULABLE, "NoSchedule"))
    return wanted


def is_new(node: Object) -> bool:
    """A node that has never reported anything takes no pods, but evicts none either."""
    return condition_of(node, "Ready") is None


def _taint(key: str, effect: str, now: float) -> Object:
    return {"key": key, "effect": effect, **({"timeAdded": timestamp(now)} if effect == "NoExecute" else {})}


def _status(conditions: Iterable[Object], kind: str) -> str:
    return next((str(c["status"]) for c in conditions if c["type"] == kind), "")


def _unready(pods: Sequence[Object], now: float) -> list[Command]:
    """Services must not send to pods of a node that does not answer."""
    commands: list[Command] = []
    for pod in pods:
        ready = condition_of(pod, "Ready")
        if ready is None or ready["status"] != "True" or is_deleting(pod):
            continue
        condition = {"type": "Ready", "status": "False", "lastTransitionTime": timestamp(now), "reason": "NodeNotReady"}
        patch = {"metadata": {"uid": uid_of(pod)}, "status": {"conditions": [condition]}}
        commands.append(Patch(PODS, key_of(pod), patch, "status", STRATEGIC_PATCH))
    return commands
