"""
Decide what an autoscaler does: the replicas that its metrics ask for, within its limits, and what it says of it. Pure.

`decide` looks at the facts and says which count is to be set; `conclude` is given what came of that and says how the
status reads and which events tell of it. Both take `now`; what must be remembered from one look to the next is in the
`History` that comes back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tiphys.api import quantity, resources
from tiphys.api.objects import timestamp
from tiphys.controllers.horizontalpodautoscaler import limits
from tiphys.controllers.horizontalpodautoscaler.evaluate import MetricFailed, Proposal, Reading, evaluate
from tiphys.controllers.horizontalpodautoscaler.limits import Bounds, History
from tiphys.controllers.horizontalpodautoscaler.replicas import TOLERANCE, Target, Tolerance
from tiphys.reconcile.commands import Command, Say, Update

Object = dict[str, Any]

AUTOSCALERS = resources.get("autoscaling", "v2", "horizontalpodautoscalers")
ABLE, ACTIVE, LIMITED = "AbleToScale", "ScalingActive", "ScalingLimited"
# Where only measured values changed, the status is written this often; so are events about what goes on failing.
HEARTBEAT_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Facts:
    """
    An autoscaler and all that it needs to know. `scale` is its target's Scale, None with `scale_error`. `readings` are
    those of its metrics, in order; `rivals` the autoscalers (itself among them) whose targets' pods are the same.
    `selector_error` says why the scale's selector cannot be read.
    """

    autoscaler: Object
    scale: Object | None = None
    scale_error: str = ""
    pods: Sequence[Object] = ()
    readings: Sequence[Reading] = ()
    selector_error: str = ""
    rivals: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """
    `replicas` None: the count is not touched, and not shown either. `conditions` are (type, status, reason, message) to
    be set in this order; `events` are (type, reason, message). `reason` tells why the count is set. Where the scale is
    not known, the count is not `seen`.
    """

    replicas: int | None
    current: int
    seen: bool = True
    is_rescale: bool = False
    reason: str = ""
    metrics: Sequence[Mapping[str, Any]] | None = None
    conditions: tuple[tuple[str, str, str, str], ...] = ()
    events: tuple[tuple[str, str, str], ...] = ()
    history: History = field(default_factory=History)


def bounds_of(autoscaler: Object) -> Bounds:
    """What its spec allows."""
    spec = autoscaler["spec"]
    behavior = spec.get("behavior") or {}
    least = spec.get("minReplicas")
    return Bounds(
        1 if least is None else least,
        spec["maxReplicas"],
        behavior.get("scaleUp") or {},
        behavior.get("scaleDown") or {},
    )


def tolerance_of(autoscaler: Object) -> Tolerance:
    """How far from its target a metric may be, in each direction."""
    bounds = bounds_of(autoscaler)
    down, up = (_number(behavior.get("tolerance")) for behavior in (bounds.down, bounds.up))
    return Tolerance(down, up)


def _number(text: Any) -> float:
    return TOLERANCE if text is None else float(quantity.parse(str(text)))


def decide(facts: Facts, history: History, now: float) -> Decision:
    """The count that is to be set now."""
    if facts.scale is None:
        text = f"the HPA controller was unable to get the target's current scale: {facts.scale_error}"
        event = ("Warning", "FailedGetScale", facts.scale_error)
        failed = (ABLE, "False", "FailedGetScale", text)
        return Decision(None, 0, seen=False, conditions=(failed,), events=(event,), history=history)
    current = int(facts.scale["spec"].get("replicas", 0))
    if not history.recommendations:
        history = replace(history, recommendations=((now, current),))
    got = (ABLE, "True", "SucceededGetScale", "the HPA controller was able to get the target's current scale")
    bounds = bounds_of(facts.autoscaler)
    begun = Decision(current, current, conditions=(got,), history=history, metrics=())
    if current == 0 and bounds.least != 0:
        text = "scaling is disabled since the replica count of the target is zero"
        off = (ACTIVE, "False", "ScalingDisabled", text)
        return replace(begun, replicas=0, conditions=(got, off))
    if current > bounds.most:
        above = "Current number of replicas above Spec.MaxReplicas"
        return replace(begun, replicas=bounds.most, is_rescale=True, reason=above)
    if current < bounds.least:
        below = "Current number of replicas below Spec.MinReplicas"
        return replace(begun, replicas=bounds.least, is_rescale=True, reason=below)
    return _by_metrics(facts, begun, now)


def _by_metrics(facts: Facts, begun: Decision, now: float) -> Decision:
    problem = _selector_problem(facts)
    if problem is not None:
        condition, (reason, text) = problem
        return _stuck(begun, (ACTIVE, "False", *condition), text, (("Warning", reason, text),))
    target = Target(begun.current, facts.pods, tolerance_of(facts.autoscaler), now)
    found = _proposals(facts, target)
    best = max(found.proposals, key=lambda one: one.replicas) if found.proposals else None
    events = tuple(("Warning", failed.reason, failed.text) for failed in found.failures)
    if found.failures and (best is None or best.replicas < begun.current):
        first = found.failures[0]
        whole = f"invalid metrics ({len(found.failures)} invalid out of {found.count}), first error is: {first.whole}"
        text = f"the HPA was unable to compute the replica count: {first.text}"
        return _stuck(begun, (ACTIVE, "False", first.reason, text), whole, events)
    assert best is not None
    text = f"the HPA was able to successfully calculate a replica count from {best.name}"
    active = (ACTIVE, "True", "ValidMetricFound", text)
    shown = replace(begun, metrics=found.statuses, conditions=(*begun.conditions, active), events=events)
    return _limited(facts, shown, best, now)


def _stuck(
    begun: Decision, condition: tuple[str, str, str, str], text: str, events: tuple[tuple[str, str, str], ...]
) -> Decision:
    """No count follows: everything stays."""
    failed = ("Warning", "FailedComputeMetricsReplicas", text)
    return replace(
        begun, replicas=None, metrics=None, conditions=(*begun.conditions, condition), events=(*events, failed)
    )


def _limited(facts: Facts, begun: Decision, best: Proposal, now: float) -> Decision:
    bounds = bounds_of(facts.autoscaler)
    held = limits.limit(bounds, begun.history, begun.current, best.replicas, now)
    history = limits.recommended(begun.history, best.replicas, bounds, now)
    conditions = (
        *begun.conditions,
        (ABLE, "True", *held.able),
        (LIMITED, "True" if held.is_limited else "False", *held.limited),
    )
    reason = f"{best.name} above target" if best.replicas > begun.current else ""
    if best.replicas < begun.current:
        reason = "All metrics below target"
    changes = held.replicas != begun.current
    return replace(
        begun, replicas=held.replicas, is_rescale=changes, reason=reason, conditions=conditions, history=history
    )


@dataclass(frozen=True, slots=True)
class _Found:
    proposals: Sequence[Proposal]
    failures: Sequence[MetricFailed]
    statuses: Sequence[Mapping[str, Any]]
    count: int


def _proposals(facts: Facts, target: Target) -> _Found:
    specs = facts.autoscaler["spec"].get("metrics") or []
    shown = int(((facts.scale or {}).get("status") or {}).get("replicas", 0))
    proposals, failures, statuses = [], [], []
    for spec, reading in zip(specs, facts.readings, strict=True):
        try:
            proposals.append(evaluate(spec, reading, target, shown))
            statuses.append(proposals[-1].status)
        except MetricFailed as failed:
            failures.append(failed)
            statuses.append({"type": ""})
    return _Found(proposals, failures, statuses, len(specs))


def _selector_problem(facts: Facts) -> tuple[limits.Words, limits.Words] | None:
    """Reason and text of the condition, and of the event."""
    assert facts.scale is not None
    selector = (facts.scale.get("status") or {}).get("selector", "")
    if not selector:
        missing = ("InvalidSelector", "the HPA target's scale is missing a selector")
        return missing, ("SelectorRequired", "selector is required")
    if facts.selector_error:
        text = f"couldn't convert selector into a corresponding internal selector object: {facts.selector_error}"
        return ("InvalidSelector", text), ("InvalidSelector", text)
    if len(facts.rivals) > 1:
        named = " ".join(sorted(facts.rivals))
        text = f"pods by selector {selector} are controlled by multiple HPAs: [{named}]"
        return ("AmbiguousSelector", text), ("AmbiguousSelector", text)
    return None


# what came of it


def conclude(autoscaler: Object, decision: Decision, refusal: str, now: float, *, tells: bool) -> list[Command]:
    """
    The events and the status after the count was set (`refusal` says why not, where the API refused it). What only
    repeats or shows other values is left out unless `tells`.
    """
    conditions, events = list(decision.conditions), []
    for kind, reason, text in decision.events if tells else ():
        events.append(Say(autoscaler, kind, reason, text))
    replicas = decision.replicas
    if decision.is_rescale and refusal:
        text = f"the HPA controller was unable to update the target scale: {refusal}"
        conditions.append((ABLE, "False", "FailedUpdateScale", text))
        size = f"New size: {replicas}; reason: {decision.reason}; error: {refusal}"
        events.append(Say(autoscaler, "Warning", "FailedRescale", size))
        replicas = None
    elif decision.is_rescale:
        text = f"the HPA controller was able to update the target scale to {replicas}"
        conditions.append((ABLE, "True", "SucceededRescale", text))
        size = f"New size: {replicas}; reason: {decision.reason}"
        events.append(Say(autoscaler, "Normal", "SuccessfulRescale", size))
    status = _status(autoscaler, replace(decision, replicas=replicas), conditions, now)
    return [*events, *_written(autoscaler, status, tells=tells)]


def _status(autoscaler: Object, decision: Decision, changes: Sequence[tuple[str, str, str, str]], now: float) -> Object:
    held = autoscaler.get("status") or {}
    status: Object = {"desiredReplicas": 0, **held, "conditions": _conditions(held, changes, now)}
    if decision.replicas is None:
        return {**status, "currentReplicas": decision.current} if decision.seen else status
    status |= {"currentReplicas": decision.current, "desiredReplicas": decision.replicas}
    status["currentMetrics"] = list(decision.metrics) if decision.metrics else None
    if decision.is_rescale:
        status["lastScaleTime"] = timestamp(now)
    return status


def _conditions(held: Mapping[str, Any], changes: Sequence[tuple[str, str, str, str]], now: float) -> list[Object]:
    conditions: dict[str, Object] = {one["type"]: one for one in held.get("conditions") or ()}
    latest = {kind: (status, reason, message) for kind, status, reason, message in changes}
    for kind, (status, reason, message) in latest.items():
        before = conditions.get(kind)
        since = before["lastTransitionTime"] if before and before["status"] == status else timestamp(now)
        conditions[kind] = {
            "type": kind, "status": status, "lastTransitionTime": since, "reason": reason, "message": message,
        }  # fmt: skip
    return list(conditions.values())


def _written(autoscaler: Object, status: Object, *, tells: bool) -> list[Command]:
    held = autoscaler.get("status") or {}
    if _shown(status) == _shown(held) or (not tells and _lasting(status) == _lasting(held)):
        return []
    return [Update(AUTOSCALERS, {**autoscaler, "status": status}, "status")]


def _shown(status: Mapping[str, Any]) -> Object:
    return {name: value for name, value in status.items() if value not in (None, [])}


def _lasting(status: Mapping[str, Any]) -> Object:
    """Without the values that differ each time somebody looks."""
    return {name: value for name, value in _shown(status).items() if name != "currentMetrics"}
