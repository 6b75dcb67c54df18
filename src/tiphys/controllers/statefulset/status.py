"""A StatefulSet's status: how many pods there are, of which revision, and which revisions it stands between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.api.objects import is_deleting, labels_of, name_of
from tiphys.api.pods import is_available, is_ready
from tiphys.reconcile.history import POD_REVISION, collisions

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Versions:
    """The revision that the set comes from and the one that it goes to; the same when no rollout is under way."""

    current: Object
    update: Object


def min_ready_seconds(statefulset: Object) -> int:
    return int(statefulset["spec"].get("minReadySeconds") or 0)


def is_running_ready(pod: Object) -> bool:
    return bool((pod.get("status") or {}).get("phase") == "Running") and is_ready(pod)


def is_healthy(statefulset: Object, pod: Object, now: float) -> bool:
    """Running, available, and not on its way out: what the others of an ordered set wait for."""
    available = is_available(pod, min_ready_seconds(statefulset), now)
    return is_running_ready(pod) and available and not is_deleting(pod)


def is_of(pod: Object, revision: Object) -> bool:
    return labels_of(pod).get(POD_REVISION) == name_of(revision)


def status_of(statefulset: Object, pods: Sequence[Object], versions: Versions, now: float) -> Object:
    """The status as Kubernetes writes it: `replicas`, `availableReplicas` and `collisionCount` also when zero."""
    ready = [pod for pod in pods if is_running_ready(pod)]
    staying = [pod for pod in pods if not is_deleting(pod)]
    counts = {
        "replicas": len(pods),
        "readyReplicas": len(ready),
        "availableReplicas": sum(is_available(pod, min_ready_seconds(statefulset), now) for pod in ready),
        "currentReplicas": sum(is_of(pod, versions.current) for pod in staying),
        "updatedReplicas": sum(is_of(pod, versions.update) for pod in staying),
    }
    current = name_of(versions.current)
    if _is_rolled_out(statefulset, counts):
        current, counts["currentReplicas"] = name_of(versions.update), counts["updatedReplicas"]
    status: Object = {
        name: count for name, count in counts.items() if count or name in ("replicas", "availableReplicas")
    }
    status["currentRevision"], status["updateRevision"] = current, name_of(versions.update)
    status["collisionCount"] = collisions(statefulset)
    status["observedGeneration"] = statefulset["metadata"].get("generation", 1)
    if (statefulset.get("status") or {}).get("conditions"):
        status["conditions"] = statefulset["status"]["conditions"]
    return status


def _is_rolled_out(statefulset: Object, counts: dict[str, int]) -> bool:
    wanted = statefulset["spec"]["replicas"]
    rolls = (statefulset["spec"].get("updateStrategy") or {}).get("type") == "RollingUpdate"
    return rolls and all(counts[name] == wanted for name in ("replicas", "readyReplicas", "updatedReplicas"))
