"""
Decide how a ReplicaSet reaches its replica count.

Pure: facts in, commands out. controller.py gathers the facts and performs the commands.
Level-triggered: the answer depends on what exists, never on which event woke us.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import condition_of, is_deleting, key_of, labels_of, parse_timestamp, timestamp, uid_of
from tiphys.api.pods import is_active, is_finished, is_ready
from tiphys.reconcile.commands import Announce, Command, Create, Delete, Requeue, Update
from tiphys.reconcile.ownership import owner_reference

Object = dict[str, Any]

PODS = resources.get("", "v1", "pods")
REPLICASETS = resources.get("apps", "v1", "replicasets")

# A broken pod template should fail a few hundred times, not ten thousand.
CREATES_PER_PLAN_MAX = 500
NAME_MAX = 253
SUFFIX_LENGTH = 5

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
PHASE_RANK = {"Pending": 0, "Unknown": 1, "Running": 2}


def plan(replicaset: Object, pods: Sequence[Object], now: float, failure: str = "") -> list[Command]:
    """
    Compare the pods that it owns with the replicas that are wanted.

    `failure` is the text of the last attempt's error, "" if it went well; it becomes the ReplicaFailure condition.
    """
    living = [pod for pod in pods if is_active(pod)]
    commands: list[Command] = [] if is_deleting(replicaset) else scale(replicaset, living)
    status = status_of(replicaset, pods, now, failure)
    if status != (replicaset.get("status") or {}):
        told = Update(REPLICASETS, {**replicaset, "status": status}, "status")
        # What failed will probably fail again and stop the rest, so it is told first.
        commands.insert(0 if failure else len(commands), told)
    wake = seconds_until_available(replicaset, living, now)
    if wake is not None:
        commands.append(Requeue(wake))
    return commands


def scale(replicaset: Object, living: Sequence[Object]) -> list[Command]:
    """Create what is missing, delete what is too much."""
    missing = replicaset["spec"]["replicas"] - len(living)
    if missing > 0:
        announce = Announce(
            replicaset, "SuccessfulCreate", "Created pod: {name}", "FailedCreate", "Error creating: {error}"
        )
        template = new_pod(replicaset)
        return [Create(PODS, template, announce=announce)] * min(missing, CREATES_PER_PLAN_MAX)
    if missing < 0:
        announce = Announce(
            replicaset, "SuccessfulDelete", "Deleted pod: {name}", "FailedDelete", "Error deleting: {error}"
        )
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


def new_pod(replicaset: Object) -> Object:
    """A pod from the template, owned by the ReplicaSet."""
    meta, template = replicaset["metadata"], replicaset["spec"]["template"]
    template_meta = template.get("metadata") or {}
    pod_meta: Object = {
        "generateName": f"{meta['name'][: NAME_MAX - SUFFIX_LENGTH - 1]}-",
        "namespace": meta["namespace"],
        "ownerReferences": [owner_reference(replicaset)],
    }
    for part in ("labels", "annotations", "finalizers"):
        if template_meta.get(part):
            pod_meta[part] = template_meta[part]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": pod_meta, "spec": template["spec"]}


def status_of(replicaset: Object, pods: Sequence[Object], now: float, failure: str) -> Object:
    """The status as Kubernetes writes it: zero counts are left out, except `replicas`."""
    living = [pod for pod in pods if is_active(pod)]
    wanted = labels_of(replicaset["spec"]["template"]) if "metadata" in replicaset["spec"]["template"] else {}
    counts = {
        "replicas": len(living),
        "fullyLabeledReplicas": sum(wanted.items() <= labels_of(pod).items() for pod in living),
        "readyReplicas": sum(is_ready(pod) for pod in living),
        "availableReplicas": sum(is_available(replicaset, pod, now) for pod in living),
        "terminatingReplicas": sum(is_deleting(pod) and not is_finished(pod) for pod in pods),
    }
    held = replicaset.get("status") or {}
    status: Object = {name: count for name, count in counts.items() if count or name == "replicas"}
    if not status.get("terminatingReplicas") and "terminatingReplicas" in held:
        status["terminatingReplicas"] = 0
    status["observedGeneration"] = replicaset["metadata"].get("generation", 1)
    conditions = _conditions(replicaset, len(living), failure, now)
    if conditions:
        status["conditions"] = conditions
    return status


def _conditions(replicaset: Object, living: int, failure: str, now: float) -> list[Mapping[str, Any]]:
    held = [c for c in (replicaset.get("status") or {}).get("conditions") or () if c["type"] != "ReplicaFailure"]
    if not failure:
        return held
    reason = "FailedCreate" if living < replicaset["spec"]["replicas"] else "FailedDelete"
    before = condition_of(replicaset, "ReplicaFailure")
    since = before["lastTransitionTime"] if before else timestamp(now)
    condition = {
        "type": "ReplicaFailure",
        "status": "True",
        "lastTransitionTime": since,
        "reason": reason,
        "message": failure,
    }
    return [*held, condition]


def is_available(replicaset: Object, pod: Object, now: float) -> bool:
    """Ready, and for at least minReadySeconds."""
    return is_ready(pod) and _seconds_short(replicaset, pod, now) <= 0


def seconds_until_available(replicaset: Object, living: Sequence[Object], now: float) -> float | None:
    """When the next ready pod becomes available; None if none is on the way."""
    if not replicaset["spec"].get("minReadySeconds"):
        return None
    waits = [_seconds_short(replicaset, pod, now) for pod in living if is_ready(pod)]
    return min((wait for wait in waits if wait > 0), default=None)


def _seconds_short(replicaset: Object, pod: Object, now: float) -> float:
    required = replicaset["spec"].get("minReadySeconds") or 0
    since = (condition_of(pod, "Ready") or {}).get("lastTransitionTime")
    if not required or not since:
        return 0.0
    return float(required) - (now - parse_timestamp(since))
