"""A Deployment's status and conditions: Available, Progressing, ReplicaFailure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.api.objects import condition_of, parse_timestamp, timestamp
from tiphys.controllers.deployment.numbers import available, fenceposts, present, wanted

Object = dict[str, Any]


def status_of(deployment: Object, new: Object | None, olds: Sequence[Object], now: float) -> Object:
    """The status that the ReplicaSets add up to."""
    everything = [*olds, *([new] if new is not None else [])]
    counts = {
        "replicas": sum(present(rs) for rs in everything),
        "updatedReplicas": present(new) if new is not None else 0,
        "readyReplicas": sum(_count(rs, "readyReplicas") for rs in everything),
        "availableReplicas": sum(available(rs) for rs in everything),
        "unavailableReplicas": max(sum(wanted(rs) - available(rs) for rs in everything), 0),
        "terminatingReplicas": sum(_count(rs, "terminatingReplicas") for rs in everything),
    }
    status: Object = {name: count for name, count in counts.items() if count}
    held = deployment.get("status") or {}
    status["observedGeneration"] = deployment["metadata"].get("generation", 1)
    if held.get("collisionCount"):
        status["collisionCount"] = held["collisionCount"]
    conditions = _conditions(deployment, new, everything, counts, now)
    if conditions:
        status["conditions"] = conditions
    return status


def is_complete(deployment: Object, counts: Mapping[str, int]) -> bool:
    """All replicas are of the new template, available, and nothing old is left."""
    replicas = deployment["spec"]["replicas"]
    return (
        counts.get("updatedReplicas", 0) == replicas
        and counts.get("replicas", 0) == replicas
        and counts.get("availableReplicas", 0) == replicas
    )


def deadline_seconds(deployment: Object) -> float | None:
    """progressDeadlineSeconds; None when there is none."""
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return None if seconds is None or seconds >= 2**31 - 1 else float(seconds)


def has_timed_out(deployment: Object, now: float) -> bool:
    """No progress for longer than the deadline."""
    condition, seconds = condition_of(deployment, "Progressing"), deadline_seconds(deployment)
    if condition is None or seconds is None or condition.get("reason") == "NewReplicaSetAvailable":
        return False
    if condition.get("reason") == "ProgressDeadlineExceeded":
        return True
    return now - parse_timestamp(condition["lastUpdateTime"]) > seconds


def seconds_to_deadline(deployment: Object, status: Mapping[str, Any], now: float) -> float | None:
    """When to look again although nothing happens: at the deadline of a rollout that is under way."""
    seconds = deadline_seconds(deployment)
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    progressing = conditions.get("Progressing")
    if seconds is None or progressing is None or deployment["spec"].get("paused"):
        return None
    if progressing["reason"] in ("NewReplicaSetAvailable", "ProgressDeadlineExceeded", "DeploymentPaused"):
        return None
    return max(parse_timestamp(progressing["lastUpdateTime"]) + seconds - now, 0.0) + 1.0


def _count(replicaset: Object, name: str) -> int:
    return int((replicaset.get("status") or {}).get(name) or 0)


def _conditions(
    deployment: Object, new: Object | None, everything: Sequence[Object], counts: Mapping[str, int], now: float
) -> list[Object]:
    held = {c["type"]: dict(c) for c in (deployment.get("status") or {}).get("conditions") or ()}
    progressing = _progressing(deployment, new, counts, now)
    if progressing is not None:
        held["Progressing"] = merged(held.get("Progressing"), progressing, now)
    minimum = deployment["spec"]["replicas"] - fenceposts(deployment)[1]
    if counts["availableReplicas"] >= minimum:
        fresh = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        fresh = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    held["Available"] = merged(held.get("Available"), _condition("Available", *fresh), now)
    failures = [c for rs in everything if (c := condition_of(rs, "ReplicaFailure")) is not None]
    if failures:
        failure = failures[-1]
        fresh_failure = _condition("ReplicaFailure", failure["status"], failure["reason"], failure["message"])
        held["ReplicaFailure"] = merged(held.get("ReplicaFailure"), fresh_failure, now)
    else:
        held.pop("ReplicaFailure", None)
    return list(held.values())


def _progressing(deployment: Object, new: Object | None, counts: Mapping[str, int], now: float) -> Object | None:
    """The Progressing condition that the facts call for; None leaves it as it is."""
    held = deployment.get("status") or {}
    before = condition_of(deployment, "Progressing")
    if deployment["spec"].get("paused"):
        return _condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")
    if deadline_seconds(deployment) is None:
        return None
    what = f'ReplicaSet "{new["metadata"]["name"]}"' if new is not None else f'Deployment "{_name(deployment)}"'
    if is_complete(deployment, counts) and new is not None:
        return _condition("Progressing", "True", "NewReplicaSetAvailable", f"{what} has successfully progressed.")
    if before is not None and before["reason"] == "DeploymentPaused":
        return _condition("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed")
    if before is None or _moved(held, counts) or _is_another(before, new):
        reason = "NewReplicaSetCreated" if before is None and new is not None else "ReplicaSetUpdated"
        text = f"Created new replica set {what[11:]}" if reason == "NewReplicaSetCreated" else f"{what} is progressing."
        return _condition("Progressing", "True", reason, text)
    if has_timed_out(deployment, now):
        return _condition("Progressing", "False", "ProgressDeadlineExceeded", f"{what} has timed out progressing.")
    return None


def _name(deployment: Object) -> str:
    return str(deployment["metadata"]["name"])


def _is_another(before: Mapping[str, Any], new: Object | None) -> bool:
    """The rollout that the condition speaks of was another one."""
    finished = before["reason"] in ("NewReplicaSetAvailable", "ProgressDeadlineExceeded")
    return finished and new is not None and f'"{new["metadata"]["name"]}"' not in before.get("message", "")


def _moved(held: Mapping[str, Any], counts: Mapping[str, int]) -> bool:
    """Something got better since the last status: more new pods, fewer old ones, more ready or available."""
    old_before = held.get("replicas", 0) - held.get("updatedReplicas", 0)
    return (
        counts["updatedReplicas"] > held.get("updatedReplicas", 0)
        or counts["replicas"] - counts["updatedReplicas"] < old_before
        or counts["readyReplicas"] > held.get("readyReplicas", 0)
        or counts["availableReplicas"] > held.get("availableReplicas", 0)
    )


def _condition(kind: str, status: str, reason: str, message: str) -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def merged(before: Mapping[str, Any] | None, fresh: Object, now: float) -> Object:
    """`fresh` with its times: unchanged conditions keep theirs; progress moves lastUpdateTime."""
    moment = timestamp(now)
    if before is not None and (before["status"], before["reason"]) == (fresh["status"], fresh["reason"]):
        moving = fresh["type"] == "Progressing" and fresh["reason"] == "ReplicaSetUpdated"
        updated = moment if moving or before["message"] != fresh["message"] else before["lastUpdateTime"]
        return {**fresh, "lastUpdateTime": updated, "lastTransitionTime": before["lastTransitionTime"]}
    kept = before is not None and before["status"] == fresh["status"]
    since = before["lastTransitionTime"] if before is not None and kept else moment
    return {**fresh, "lastUpdateTime": moment, "lastTransitionTime": since}
