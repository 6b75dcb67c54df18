"""
From what was measured to how many replicas are needed. Pure; values are in thousandths, as Kubernetes reckons.

The ratio of what is used to what is wanted says how many replicas there should be. Pods that cannot be judged never
make it worse: what is missing is assumed to use nothing when the load is too high, and what is wanted when it is too
low; pods that are not ready yet are left out, or use nothing where more are needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.api import quantity
from tiphys.api.objects import condition_of, is_deleting, name_of, parse_timestamp

Object = Mapping[str, Any]

# Until this long after its start a pod may use more than it will later on.
CPU_INITIALIZATION_SECONDS = 300.0
# A pod that was never ready changes its readiness this early only because it starts.
INITIAL_READINESS_SECONDS = 30.0
TOLERANCE = 0.1


class CannotCompute(Exception):
    """No replica count follows from what is known; the message is Kubernetes'."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One pod's value, measured over the `window_seconds` before `at`."""

    value: int
    at: float = 0.0
    window_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A ratio that differs from 1 by less changes nothing."""

    down: float = TOLERANCE
    up: float = TOLERANCE

    def holds(self, ratio: float) -> bool:
        return 1.0 - self.down <= ratio <= 1.0 + self.up


@dataclass(frozen=True, slots=True)
class Target:
    """What is scaled: its replicas now, its pods, how exact to be, and the time."""

    replicas: int
    pods: Sequence[Object]
    tolerance: Tolerance
    now: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """`average` is a pod's, `utilization` in percent of what it asked for (None where that is not the question)."""

    replicas: int
    average: int
    utilization: int | None = None


@dataclass(frozen=True, slots=True)
class Aim:
    """`ratio` of some pods' values to what is wanted of them; `assumed` is what a pod uses that is just right."""

    ratio: Callable[[Mapping[str, int]], float]
    assumed: Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Groups:
    """Names of pods: how many count, and which do not yet, are not measured, or never will."""

    ready: int
    unready: frozenset[str]
    missing: frozenset[str]
    ignored: frozenset[str]


def by_utilization(
    target: Target, metrics: Mapping[str, Metric], percent: int, resource: str, container: str = ""
) -> Outcome:
    """Replicas so that each pod uses `percent` of what it asked for."""
    _require_pods(target)
    groups = grouped(target, metrics, resource)
    measured = _without(metrics, groups)
    requests = requests_of(target.pods, resource, container)
    total, asked = _matching(measured, requests)
    utilization = total * 100 // asked
    aim = Aim(
        lambda values: _matched_ratio(values, requests, percent),
        lambda name: requests[name] * max(100, percent) // 100,
    )
    return Outcome(_replicas(target, groups, measured, aim), total // len(measured), utilization)


def by_average(target: Target, metrics: Mapping[str, Metric], wanted: int, resource: str = "") -> Outcome:
    """Replicas so that each pod's value is `wanted`."""
    _require_pods(target)
    groups = grouped(target, metrics, resource)
    measured = _without(metrics, groups)
    aim = Aim(lambda values: sum(values.values()) // len(values) / wanted, lambda name: wanted)
    average = sum(measured.values()) // len(measured)
    return Outcome(_replicas(target, groups, measured, aim), average)


def by_value(target: Target, value: int, wanted: int) -> Outcome:
    """Replicas so that a value which all of them bring about together becomes `wanted`."""
    ratio = value / wanted
    if target.replicas == 0:
        return Outcome(math.ceil(ratio), value)
    if target.tolerance.holds(ratio):
        return Outcome(target.replicas, value)
    _require_pods(target)
    ready = sum(1 for pod in target.pods if _phase(pod) == "Running" and _ready(pod) == "True")
    return Outcome(math.ceil(ratio * ready), value)


def by_share(target: Target, value: int, wanted: int) -> Outcome:
    """Replicas so that each one's share of a value is `wanted`."""
    replicas = target.replicas
    if replicas == 0 or not target.tolerance.holds(value / (wanted * replicas)):
        replicas = math.ceil(value / wanted)
    return Outcome(replicas, math.ceil(value / target.replicas) if target.replicas else 0)


def grouped(target: Target, metrics: Mapping[str, Metric], resource: str) -> Groups:
    """Sort the pods into those that count and those that do not."""
    ready, unready, missing, ignored = 0, set(), set(), set()
    for pod in target.pods:
        name = name_of(pod)
        if is_deleting(pod) or _phase(pod) == "Failed":
            ignored.add(name)
        elif _phase(pod) == "Pending":
            unready.add(name)
        elif name not in metrics:
            missing.add(name)
        elif resource == "cpu" and _is_starting(pod, metrics[name], target.now):
            unready.add(name)
        else:
            ready += 1
    return Groups(ready, frozenset(unready), frozenset(missing), frozenset(ignored))


def requests_of(pods: Sequence[Object], resource: str, container: str = "") -> dict[str, int]:
    """What each pod (or that container of it) asks for; CannotCompute where one does not say."""
    return {name_of(pod): _request(pod, resource, container) for pod in pods}


def _request(pod: Object, resource: str, container: str) -> int:
    spec = pod["spec"]
    whole = ((spec.get("resources") or {}).get("requests") or {}).get(resource)
    if whole is not None and not container:
        return quantity.milli(str(whole))
    sidecars = [one for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"]
    asked = 0
    for one in (*spec["containers"], *sidecars):
        if container in ("", one["name"]):
            request = ((one.get("resources") or {}).get("requests") or {}).get(resource)
            if request is None:
                name = one["name"]
                raise CannotCompute(f"missing request for {resource} in container {name} of Pod {name_of(pod)}")
            asked += quantity.milli(str(request))
    return asked


def _replicas(target: Target, groups: Groups, measured: Mapping[str, int], aim: Aim) -> int:
    ratio = aim.ratio(measured)
    current = target.replicas
    too_high_while_starting = bool(groups.unready) and ratio > 1.0
    if not too_high_while_starting and not groups.missing:
        return current if target.tolerance.holds(ratio) else math.ceil(ratio * groups.ready)
    values = dict(measured)
    if ratio < 1.0:
        values |= {name: aim.assumed(name) for name in groups.missing}
    elif ratio > 1.0:
        values |= dict.fromkeys(groups.missing, 0)
    if too_high_while_starting:
        values |= dict.fromkeys(groups.unready, 0)
    fuller = aim.ratio(values)
    if target.tolerance.holds(fuller) or (ratio < 1.0 < fuller) or (fuller < 1.0 < ratio):
        return current
    replicas = math.ceil(fuller * len(values))
    # Never up because of too little load, nor down because of too much.
    if (fuller < 1.0 and replicas > current) or (fuller > 1.0 and replicas < current):
        return current
    return replicas


def _without(metrics: Mapping[str, Metric], groups: Groups) -> dict[str, int]:
    left = {name: one.value for name, one in metrics.items() if name not in groups.unready | groups.ignored}
    if not left:
        raise CannotCompute("did not receive metrics for targeted pods (pods might be unready)")
    return left


def _matching(values: Mapping[str, int], requests: Mapping[str, int]) -> tuple[int, int]:
    """What is used and what is asked for, of the pods that both tell of."""
    known = [name for name in values if name in requests]
    asked = sum(requests[name] for name in known)
    if asked == 0:
        raise CannotCompute("no metrics returned matched known pods")
    return sum(values[name] for name in known), asked


def _matched_ratio(values: Mapping[str, int], requests: Mapping[str, int], percent: int) -> float:
    total, asked = _matching(values, requests)
    return (total * 100 // asked) / percent


def _require_pods(target: Target) -> None:
    if not target.pods:
        raise CannotCompute("no pods returned by selector while calculating replica count")


def _is_starting(pod: Object, metric: Metric, now: float) -> bool:
    """Whether what a pod uses now says nothing about what it will use."""
    condition = condition_of(pod, "Ready")
    begun = (pod.get("status") or {}).get("startTime")
    if condition is None or not begun:
        return True
    started, changed = parse_timestamp(begun), parse_timestamp(condition["lastTransitionTime"])
    if started + CPU_INITIALIZATION_SECONDS > now:
        return condition["status"] == "False" or metric.at < changed + metric.window_seconds
    return condition["status"] == "False" and started + INITIAL_READINESS_SECONDS > changed


def _phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase", ""))


def _ready(pod: Object) -> str:
    return str((condition_of(pod, "Ready") or {}).get("status", ""))
