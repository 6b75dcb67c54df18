"""
Decide the next step in the deletion of a namespace.

Pure: the namespace and what is left in it go in, commands come out. First everything is deleted, then the conditions
say what is waited for, and when nothing is left the `kubernetes` finalizer goes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import condition_of, is_deleting, timestamp
from tiphys.api.resources import Resource
from tiphys.reconcile.commands import Command, Delete, Update

Object = dict[str, Any]

NAMESPACES = resources.get("", "v1", "namespaces")
FINALIZER = "kubernetes"


@dataclass(frozen=True, slots=True)
class Remaining:
    """One object that is still in the namespace."""

    resource: Resource
    name: str
    uid: str
    deleting: bool = False
    finalizers: tuple[str, ...] = ()


def plan(namespace: Object, left: Sequence[Remaining], now: float) -> list[Command]:
    """One step: delete, tell, or let go."""
    if not is_deleting(namespace) or FINALIZER not in (namespace["spec"].get("finalizers") or ()):
        return []
    name = namespace["metadata"]["name"]
    commands: list[Command] = [
        Delete(item.resource, (name, item.name), item.uid, propagation="Background")
        for item in left
        if not item.deleting
    ]
    status = {**(namespace.get("status") or {}), "phase": "Terminating", "conditions": conditions(namespace, left, now)}
    if status != namespace.get("status"):
        return [*commands, Update(NAMESPACES, {**namespace, "status": status}, "status")]
    if not left and not commands:
        kept = [finalizer for finalizer in namespace["spec"]["finalizers"] if finalizer != FINALIZER]
        return [Update(NAMESPACES, {**namespace, "spec": {**namespace["spec"], "finalizers": kept}}, "finalize")]
    return commands


def conditions(namespace: Object, left: Sequence[Remaining], now: float) -> list[Object]:
    """The five conditions in which Kubernetes tells how far the deletion is."""
    told = [
        _condition(
            "NamespaceDeletionDiscoveryFailure", "", "ResourcesDiscovered", "All resources successfully discovered"
        ),
        _condition(
            "NamespaceDeletionGroupVersionParsingFailure",
            "",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        _condition(
            "NamespaceDeletionContentFailure",
            "",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        _content(left),
        _finalizers(left),
    ]
    return [_dated(namespace, condition, now) for condition in told]


def _content(left: Sequence[Remaining]) -> Object:
    kind = "NamespaceContentRemaining"
    if not left:
        return _condition(kind, "", "ContentRemoved", "All content successfully removed")
    counts = Counter(f"{item.resource.name}.{item.resource.group}" for item in left)
    parts = [f"{name} has {count} resource instances" for name, count in sorted(counts.items())]
    return _condition(kind, "SomeResourcesRemain", "", f"Some resources are remaining: {', '.join(parts)}")


def _finalizers(left: Sequence[Remaining]) -> Object:
    kind = "NamespaceFinalizersRemaining"
    counts = Counter(finalizer for item in left for finalizer in item.finalizers)
    if not counts:
        return _condition(kind, "", "ContentHasNoFinalizers", "All content-preserving finalizers finished")
    parts = [f"{name} in {count} resource instances" for name, count in sorted(counts.items())]
    text = f"Some content in the namespace has finalizers remaining: {', '.join(parts)}"
    return _condition(kind, "SomeFinalizersRemain", "", text)


def _condition(kind: str, true_reason: str, false_reason: str, message: str) -> Object:
    status, reason = ("True", true_reason) if true_reason else ("False", false_reason)
    return {"type": kind, "status": status, "reason": reason, "message": message}


def _dated(namespace: Mapping[str, Any], condition: Object, now: float) -> Object:
    held = condition_of(namespace, condition["type"])
    since = held["lastTransitionTime"] if held and held["status"] == condition["status"] else timestamp(now)
    return {**condition, "lastTransitionTime": since}
