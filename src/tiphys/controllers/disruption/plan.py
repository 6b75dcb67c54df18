"""
Decide a PodDisruptionBudget's status: how many of its pods may be evicted right now.

Pure: the budget, its pods and the replicas that their owners want go in. Evictions take from `disruptionsAllowed` and
note the pod in `disruptedPods`; such a pod no longer counts as healthy. If it is still there two minutes later, its
deletion has failed, and it counts again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import condition_of, is_deleting, name_of, namespace_of, parse_timestamp, timestamp
from tiphys.api.pods import is_ready
from tiphys.api.selectors import Selector, from_label_selector
from tiphys.reconcile.commands import Command, Requeue, Say, Update

Object = dict[str, Any]

BUDGETS = resources.get("policy", "v1", "poddisruptionbudgets")
PODS = resources.get("", "v1", "pods")
DELETION_SECONDS = 120.0
CONDITION = "DisruptionAllowed"
TARGET = "DisruptionTarget"


@dataclass(frozen=True, slots=True)
class Scales:
    """The replicas that the pods' owners want together; `error` says why that is not known."""

    total: int = 0
    unmanaged: tuple[str, ...] = ()
    error: str = ""


def selector_of(budget: Object) -> Selector:
    """Without a selector a budget is about no pods; an empty one selects all."""
    return from_label_selector((budget.get("spec") or {}).get("selector"))


def plan(budget: Object, pods: Sequence[Object], scales: Scales, now: float) -> list[Command]:
    """The status as it should be, where it is not; and when to look again."""
    commands = _hanging(budget, pods, now)
    if needs_scales(budget) and scales.error:
        text = f"Failed to calculate the number of expected pods: {scales.error}"
        return [*commands, *_written(budget, _unknown(budget, scales.error, now), _warn(budget, text))]
    disrupted = _disrupted(budget, pods, now)
    healthy = sum(1 for pod in pods if not is_deleting(pod) and name_of(pod) not in disrupted and is_ready(pod))
    expected, desired = _needed(budget, len(pods), scales.total)
    # Nothing is allowed while there are no pods: the first ones may be there before we look again.
    allowed = max(healthy - desired, 0) if expected > 0 else 0
    status: Object = {
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "disruptionsAllowed": allowed,
        "expectedPods": expected,
        "observedGeneration": budget["metadata"].get("generation", 0),
    }
    if disrupted:
        status["disruptedPods"] = disrupted
    told = ("True", "SufficientPods", "") if allowed else ("False", "InsufficientPods", "")
    status["conditions"] = _conditions(budget, told, now)
    ends = [parse_timestamp(at) + DELETION_SECONDS for at in disrupted.values()] + _target_ends(pods, now)
    later = [Requeue(max(min(ends) - now, 0.0) + 1.0)] if ends else []
    return [*commands, *_written(budget, status, *_events(budget, pods, scales)), *later]


def needs_scales(budget: Object) -> bool:
    """Whether the budget is a share of what is wanted, rather than a plain number of pods."""
    spec = budget.get("spec") or {}
    return spec.get("maxUnavailable") is not None or isinstance(spec.get("minAvailable"), str)


def _needed(budget: Object, present: int, wanted: int) -> tuple[int, int]:
    """(expected pods, how many of them must be healthy)."""
    spec = budget.get("spec") or {}
    if spec.get("maxUnavailable") is not None:
        return wanted, max(wanted - _share(spec["maxUnavailable"], wanted), 0)
    least = spec.get("minAvailable")
    if isinstance(least, str):
        return wanted, _share(least, wanted)
    return present, int(least or 0)


def _share(value: int | str, total: int) -> int:
    """A number, or a percentage of `total` rounded up."""
    return value if isinstance(value, int) else math.ceil(total * int(value.rstrip("%")) / 100)


def _disrupted(budget: Object, pods: Sequence[Object], now: float) -> dict[str, str]:
    """The evicted pods whose deletion is still awaited."""
    noted = (budget.get("status") or {}).get("disruptedPods") or {}
    names = {name_of(pod) for pod in pods if not is_deleting(pod)}
    return {
        name: at for name, at in noted.items() if name in names and parse_timestamp(at) + DELETION_SECONDS >= now
    }  # fmt: skip


def _hanging(budget: Object, pods: Sequence[Object], now: float) -> list[Command]:
    """Tell of evicted pods that did not go, and take back what their conditions announce."""
    noted = (budget.get("status") or {}).get("disruptedPods") or {}
    text = f"Pod was expected by PDB {namespace_of(budget)}/{name_of(budget)} to be deleted but it wasn't"
    commands: list[Command] = []
    for pod in pods:
        at = noted.get(name_of(pod))
        if at is not None and not is_deleting(pod) and parse_timestamp(at) + DELETION_SECONDS < now:
            commands.append(Say(pod, "Warning", "NotDeleted", text))
        end = _target_end(pod)
        if end is not None and end < now:
            commands.append(_spared(pod, now))
    return commands


def _target_end(pod: Object) -> float | None:
    """When the announcement that a pod will be disrupted has come to nothing."""
    condition = condition_of(pod, TARGET)
    if is_deleting(pod) or condition is None or condition.get("status") != "True":
        return None
    return parse_timestamp(condition["lastTransitionTime"]) + DELETION_SECONDS


def _target_ends(pods: Sequence[Object], now: float) -> list[float]:
    ends = [_target_end(pod) for pod in pods]
    return [end for end in ends if end is not None and end >= now]


def _spared(pod: Object, now: float) -> Update:
    kept = [condition for condition in pod["status"]["conditions"] if condition["type"] != TARGET]
    spared = {"type": TARGET, "status": "False", "lastTransitionTime": timestamp(now)}
    return Update(PODS, {**pod, "status": {**pod["status"], "conditions": [*kept, spared]}}, "status")


def _events(budget: Object, pods: Sequence[Object], scales: Scales) -> list[Command]:
    events: list[Command] = []
    if not pods:
        events.append(Say(budget, "Normal", "NoPods", "No matching pods found"))
    if scales.unmanaged and needs_scales(budget):
        text = (
            f"Pods selected by this PodDisruptionBudget were found to be unmanaged: {', '.join(scales.unmanaged)}. "
            'As a result, the status of the PDB cannot be calculated correctly. To account for these pods please set '
            '".spec.minAvailable" field of the PDB to an integer value.'
        )  # fmt: skip
        events.append(Say(budget, "Warning", "UnmanagedPods", text))
    return events


def _warn(budget: Object, text: str) -> Say:
    return Say(budget, "Warning", "CalculateExpectedPodCountFailed", text)


def _unknown(budget: Object, error: str, now: float) -> Object:
    """Nothing may be evicted while nobody knows how many pods there should be."""
    held = budget.get("status") or {}
    shown: Mapping[str, Any] = {"currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0, **held}
    conditions = _conditions(budget, ("False", "SyncFailed", error), now)
    generation = budget["metadata"].get("generation", 0)
    return {**shown, "disruptionsAllowed": 0, "observedGeneration": generation, "conditions": conditions}


def _conditions(budget: Object, told: tuple[str, str, str], now: float) -> list[Object]:
    """The budget's conditions with ours as it is now; its time is that of the last change of status."""
    status, reason, message = told
    held = condition_of(budget, CONDITION)
    since = held["lastTransitionTime"] if held is not None and held["status"] == status else timestamp(now)
    ours = {
        "type": CONDITION, "status": status, "observedGeneration": budget["metadata"].get("generation", 0),
        "lastTransitionTime": since, "reason": reason, "message": message,
    }  # fmt: skip
    conditions = (budget.get("status") or {}).get("conditions") or []
    if held is None:
        return [*conditions, ours]
    return [ours if condition["type"] == CONDITION else condition for condition in conditions]


def _written(budget: Object, status: Object, *events: Command) -> list[Command]:
    """Events go with a change only: who looks twice at the same shall not be told twice."""
    if status == budget.get("status"):
        return []
    return [*events, Update(BUDGETS, {**budget, "status": status}, "status")]
