"""
Decide how a number of equal pods is kept: ReplicaSets and ReplicationControllers differ in their selectors only.

Pure: facts in, commands out. Level-triggered: the answer depends on what exists, never on which event woke us.
`replica_keeper.py` gathers the facts and performs the commands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import condition_of, is_deleting, key_of, labels_of, parse_timestamp, timestamp, uid_of
from tiphys.api.pods import is_active, is_available, is_finished, is_ready, seconds_until_available
from tiphys.api.resources import Resource
from tiphys.reconcile.commands import Announce, Command, Create, Delete, Requeue, Update
from tiphys.reconcile.pod_template import pod_from

Object = dict[str, Any]

PODS = resources.get("", "v1", "pods")

# A broken pod template should fail a few hundred times, not ten thousand.
CREATES_PER_PLAN_MAX = 500

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
PHASE_RANK = {"Pending": 0, "Unknown": 1, "Running": 2}


def plan(resource: Resource, owner: Object, pods: Sequence[Object], now: float, failure: str = "") -> list[Command]:
    """
    Compare the pods that `owner`, an object of `resource`, owns with the replicas that are wanted.

    `failure` is the text of the last attempt's error, "" if it went well; it becomes the ReplicaFailure condition.
    """
    living = [pod for pod in pods if is_active(pod)]
    commands: list[Command] = [] if is_deleting(owner) else scale(owner, living)
    status = status_of(owner, pods, now, failure)
    if status != (owner.get("status") or {}):
        told = Update(resource, {**owner, "status": status}, "status")
        # What failed will probably fail again and stop the rest, so it is told first.
        commands.insert(0 if failure else len(commands), told)
    waits = [seconds_until_available(pod, min_ready_seconds(owner), now) for pod in living]
    if any(waits):
        commands.append(Requeue(min(wait for wait in waits if wait)))
    return commands


def min_ready_seconds(owner: Mapping[str, Any]) -> int:
    """How long a pod must be ready to count as available."""
    return int(owner["spec"].get("minReadySeconds") or 0)


def scale(owner: Object, living: Sequence[Object]) -> list[Command]:
    """Create what is missing, delete what is too much."""
    missing = owner["spec"]["replicas"] - len(living)
    if missing > 0:
        announce = Announce(owner, "SuccessfulCreate", "Created pod: {name}", "FailedCreate", "Error creating: {error}")
        template = pod_from(owner["spec"]["template"], owner)
        return [Create(PODS, template, announce=announce)] * min(missing, CREATES_PER_PLAN_MAX)
    if missing < 0:
        announce = Announce(owner, "SuccessfulDelete", "Deleted pod: {name}", "FailedDelete", "Error deleting: {error}")
        crowd = Counter(pod["spec"].get("nodeName", "") for pod in living)
        order = sorted(living, key=lambda pod: cheapest_to_lose(pod, crowd[pod["spec"].get("nodeName", "")]))
        return [Delete(PODS, key_of(pod), uid_of(pod), announce=announce) for pod in order[:-missing]]
    return []


def cheapest_to_lose(pod: Object, on_its_node: int) -> tuple[Any, ...]:
    """
    Kubernetes' order: unassigned, pending, unready, cheap, crowded, young, restarted; then by name.

    Two plans must never disagree, so nothing here depends on the clock.
    """
    assigned, ready = bool(pod["spec"].get("nodeName")), is_ready(pod)
    condition = condition_of(pod, "Ready") or {}
    ready_since = condition.get("lastTransitionTime", "") if ready else ""
    restarts = max((s.get("restartCount", 0) for s in pod.get("status", {}).get("containerStatuses") or ()), default=0)
    return (
        assigned,
        PHASE_RANK.get(pod.get("status", {}).get("phase", "Pending"), 0),
        ready,
        deletion_cost(pod),
        -on_its_node if ready else 0,
        _younger_first(ready_since),
        -restarts,
        _younger_first(pod["metadata"].get("creationTimestamp", "")),
        pod["metadata"]["name"],
    )


def _younger_first(moment: str) -> float:
    return -parse_timestamp(moment) if moment else 0.0


def deletion_cost(pod: Object) -> int:
    """What the user says losing this pod costs; 0 when unsaid or unreadable (the API server validates it)."""
    text = (pod["metadata"].get("annotations") or {}).get(DELETION_COST, "0")
    return int(text) if text.lstrip("+-").isdigit() else 0


def status_of(owner: Object, pods: Sequence[Object], now: float, failure: str) -> Object:
    """The status as Kubernetes writes it: zero counts are left out, except `replicas`."""
    living = [pod for pod in pods if is_active(pod)]
    wanted = labels_of(owner["spec"]["template"]) if "metadata" in owner["spec"]["template"] else {}
    counts = {
        "replicas": len(living),
        "fullyLabeledReplicas": sum(wanted.items() <= labels_of(pod).items() for pod in living),
        "readyReplicas": sum(is_ready(pod) for pod in living),
        "availableReplicas": sum(is_available(pod, min_ready_seconds(owner), now) for pod in living),
    }
    if owner["kind"] == "ReplicaSet":
        counts["terminatingReplicas"] = sum(is_deleting(pod) and not is_finished(pod) for pod in pods)
    held = owner.get("status") or {}
    status: Object = {name: count for name, count in counts.items() if count or name == "replicas"}
    if not status.get("terminatingReplicas") and "terminatingReplicas" in held:
        status["terminatingReplicas"] = 0
    status["observedGeneration"] = owner["metadata"].get("generation", 1)
    conditions = _conditions(owner, len(living), failure, now)
    if conditions:
        status["conditions"] = conditions
    return status


def _conditions(owner: Object, living: int, failure: str, now: float) -> list[Mapping[str, Any]]:
    held = [c for c in (owner.get("status") or {}).get("conditions") or () if c["type"] != "ReplicaFailure"]
    if not failure:
        return held
    reason = "FailedCreate" if living < owner["spec"]["replicas"] else "FailedDelete"
    before = condition_of(owner, "ReplicaFailure")
    since = before["lastTransitionTime"] if before else timestamp(now)
    condition = {
        "type": "ReplicaFailure",
        "status": "True",
        "lastTransitionTime": since,
        "reason": reason,
        "message": failure,
    }
    return [*held, condition]
