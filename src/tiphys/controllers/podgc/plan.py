"""Decide which pods are collected. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import is_deleting, key_of, timestamp, uid_of
from tiphys.api.pods import is_finished
from tiphys.client.client import STRATEGIC_PATCH
from tiphys.reconcile.commands import Command, Delete, Patch, Requeue

Object = dict[str, Any]

PODS = resources.get("", "v1", "pods")

# Kubernetes' --terminated-pod-gc-threshold.
FINISHED_MAX = 12_500
# A node that was just deleted may be registered again at once.
QUARANTINE_SECONDS = 40.0


def plan_lost(pod: Object, missing_since: float, now: float) -> list[Command]:
    """A pod of a node that is gone: fail it, then remove it, once the node has been missing for a while."""
    left = missing_since + QUARANTINE_SECONDS - now
    if left > 0:
        return [Requeue(left)]
    commands: list[Command] = []
    if not is_finished(pod):
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByPodGC",
            "message": "PodGC: node no longer exists",
            "lastTransitionTime": timestamp(now),
        }
        patch = {"metadata": {"uid": uid_of(pod)}, "status": {"phase": "Failed", "conditions": [condition]}}
        commands.append(Patch(PODS, key_of(pod), patch, "status", STRATEGIC_PATCH))
    return [*commands, _remove(pod)]


def plan_unscheduled(pod: Object) -> list[Command]:
    """A pod that was deleted before it had a node has nobody who would end it."""
    return [_remove(pod)] if is_deleting(pod) and not pod["spec"].get("nodeName") else []


def plan_finished(pods: Sequence[Mapping[str, Any]], most: int = FINISHED_MAX) -> list[Command]:
    """The oldest finished pods beyond the threshold."""
    finished = [pod for pod in pods if is_finished(pod) and not is_deleting(pod)]
    excess = len(finished) - most
    if excess <= 0:
        return []
    oldest = sorted(finished, key=lambda pod: (pod["metadata"].get("creationTimestamp", ""), key_of(pod)))
    return [_remove(pod) for pod in oldest[:excess]]


def _remove(pod: Mapping[str, Any]) -> Delete:
    return Delete(PODS, key_of(pod), uid_of(pod), grace_seconds=0)
