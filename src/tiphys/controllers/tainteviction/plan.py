"""Decide whether, or when, a pod must leave its node because of NoExecute taints. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import is_deleting, key_of, parse_timestamp, uid_of
from tiphys.api.pods import tolerates
from tiphys.reconcile.commands import Command, Delete, Patch, Requeue, Say

Object = dict[str, Any]

PODS = resources.get("", "v1", "pods")


def no_execute_taints(node: Mapping[str, Any] | None) -> list[Object]:
    """The taints of a node that drive pods away."""
    taints: Sequence[Object] = ((node or {}).get("spec") or {}).get("taints") or ()
    return [taint for taint in taints if taint["effect"] == "NoExecute"]


def leaves_at(pod: Object, taints: Sequence[Object], now: float) -> float | None:
    """When the pod must be gone: None never, a moment that has passed at once."""
    deadlines: list[float] = []
    for taint in taints:
        tolerating = [t for t in pod["spec"].get("tolerations") or () if tolerates(t, taint)]
        if not tolerating:
            return now
        limits = [t["tolerationSeconds"] for t in tolerating if t.get("tolerationSeconds") is not None]
        if limits:
            added = parse_timestamp(taint["timeAdded"]) if taint.get("timeAdded") else now
            deadlines.append(added + max(0, min(limits)))
    return min(deadlines, default=None)


def plan(pod: Object, taints: Sequence[Object], now: float) -> list[Command]:
    """Nothing, a look at a later time, or the deletion."""
    if is_deleting(pod) or not taints:
        return []
    at = leaves_at(pod, taints, now)
    if at is None:
        return []
    if at > now:
        return [Requeue(at - now)]
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint",
    }
    patch = {"metadata": {"uid": uid_of(pod)}, "status": {"conditions": [condition]}}
    namespace, name = key_of(pod)
    return [
        Say(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {namespace}/{name}"),
        Patch(PODS, key_of(pod), patch, "status", "application/strategic-merge-patch+json"),
        Delete(PODS, key_of(pod), uid_of(pod)),
    ]
