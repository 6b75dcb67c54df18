"""
One metric of an autoscaler: what was measured, how many replicas that asks for, and how it is shown. Pure.

Texts are Kubernetes', also where they are odd (an average of an object's metric calls itself an external metric).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from tiphys.api import quantity
from tiphys.controllers.horizontalpodautoscaler.replicas import (
    CannotCompute,
    Metric,
    Outcome,
    Target,
    by_average,
    by_share,
    by_utilization,
    by_value,
)

Object = Mapping[str, Any]

NO_TARGET = "invalid {} metric source: neither {} target nor an average value{} target was set"


@dataclass(frozen=True, slots=True)
class Reading:
    """What the metrics APIs gave for one metric: values by pod, or one value. `error` says why there is none."""

    pods: Mapping[str, Metric] = field(default_factory=dict)
    value: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """`name` is how events and conditions call the metric, `status` its entry in currentMetrics."""

    replicas: int
    name: str
    status: Object


class MetricFailed(Exception):
    """Why a metric asks for nothing: `reason` and `text` are shown, `whole` is what an error is called further up."""

    def __init__(self, reason: str, text: str, whole: str) -> None:
        super().__init__(text)
        self.reason, self.text, self.whole = reason, text, whole


def evaluate(spec: Object, reading: Reading, target: Target, shown_replicas: int) -> Proposal:
    """
    What one metric asks for. MetricFailed. `shown_replicas` are those of the target's status, which shares are
    reckoned with.
    """
    kind = spec["type"]
    if kind == "Resource":
        return _resource(spec["resource"], reading, target)
    if kind == "ContainerResource":
        return _container_resource(spec["containerResource"], reading, target)
    if kind == "Pods":
        return _pods(spec["pods"], reading, target)
    if kind == "Object":
        return _object(spec["object"], reading, target, shown_replicas)
    if kind == "External":
        return _external(spec["external"], reading, target, shown_replicas)
    text = f'unknown metric source type "{kind}"'
    raise MetricFailed("InvalidMetricSourceType", text, text)


def _resource(source: Object, reading: Reading, target: Target) -> Proposal:
    name = source["name"]
    try:
        outcome = _of_resource(source, reading, target)
    except CannotCompute as error:
        whole = f"failed to get {name} resource metric value: {error}"
        raise MetricFailed("FailedGetResourceMetric", str(error), whole) from None
    called = f"{name} resource"
    if outcome.utilization is not None:
        called += " utilization (percentage of request)"
    return Proposal(
        outcome.replicas, called, {"type": "Resource", "resource": {"name": name, "current": _current(outcome)}}
    )


def _container_resource(source: Object, reading: Reading, target: Target) -> Proposal:
    name, container = source["name"], source["container"]
    try:
        outcome = _of_resource(source, reading, target, container)
    except CannotCompute as error:
        whole = f"failed to get {name} container metric value: {error}"
        raise MetricFailed("FailedGetContainerResourceMetric", str(error), whole) from None
    utilization = outcome.utilization is not None
    called = f"{name} container resource utilization (percentage of request)" if utilization else f"{name} resource"
    shown = {"name": name, "container": container, "current": _current(outcome)}
    return Proposal(outcome.replicas, called, {"type": "ContainerResource", "containerResource": shown})


def _of_resource(source: Object, reading: Reading, target: Target, container: str = "") -> Outcome:
    name, wanted = source["name"], source["target"]
    if wanted.get("averageValue") is not None:
        with_prefix = f"failed to get {name} usage: "
        return _judged(with_prefix, reading, lambda: by_average(target, reading.pods, _milli(wanted), name), name)
    percent = wanted.get("averageUtilization")
    if percent is None:
        raise CannotCompute(NO_TARGET.format("resource", "an average utilization", " (usage)"))
    prefix = f"failed to get {name} utilization: "
    return _judged(prefix, reading, lambda: by_utilization(target, reading.pods, percent, name, container), name)


def _judged(prefix: str, reading: Reading, compute: Any, resource: str) -> Outcome:
    """Errors on the way, with what was to be found out before them."""
    if reading.error:
        raise CannotCompute(f"{prefix}unable to get metrics for resource {resource}: {reading.error}")
    try:
        outcome: Outcome = compute()
    except CannotCompute as error:
        raise CannotCompute(f"{prefix}{error}") from None
    return outcome


def _pods(source: Object, reading: Reading, target: Target) -> Proposal:
    name = source["metric"]["name"]
    try:
        if reading.error:
            raise CannotCompute(f"unable to get metric {name}: {reading.error}")
        outcome = by_average(target, reading.pods, _milli(source["target"]))
    except CannotCompute as error:
        whole = f"failed to get pods metric value: {error}"
        raise MetricFailed("FailedGetPodsMetric", str(error), whole) from None
    shown = {"metric": source["metric"], "current": {"averageValue": written(outcome.average)}}
    return Proposal(outcome.replicas, f"pods metric {name}", {"type": "Pods", "pods": shown})


def _object(source: Object, reading: Reading, target: Target, shown_replicas: int) -> Proposal:
    metric, about = source["metric"], source["describedObject"]
    try:
        if reading.error:
            raise CannotCompute(reading.error)
        outcome, key = _of_value(source["target"], reading.value, target, shown_replicas, "object")
    except CannotCompute as error:
        average = source["target"].get("value") is None
        inner = f"failed to get {metric['name']} object metric: {error}" if average else str(error)
        raise MetricFailed("FailedGetObjectMetric", str(error), f"failed to get object metric value: {inner}") from None
    called = f"{about['kind']} metric {metric['name']}" if key == "value" else _external_name(metric)
    shown = {"metric": metric, "describedObject": about, "current": {key: written(outcome.average)}}
    return Proposal(outcome.replicas, called, {"type": "Object", "object": shown})


def _external(source: Object, reading: Reading, target: Target, shown_replicas: int) -> Proposal:
    metric = source["metric"]
    try:
        if reading.error:
            raise CannotCompute(reading.error)
        outcome, key = _of_value(source["target"], reading.value, target, shown_replicas, "external")
    except CannotCompute as error:
        name = metric["name"]
        average = source["target"].get("averageValue") is not None
        inner = f"failed to get {name} external metric: " if average else f"failed to get external metric {name}: "
        whole = f"failed to get {name} external metric value: {inner}{error}"
        raise MetricFailed("FailedGetExternalMetric", str(error), whole) from None
    shown = {"metric": metric, "current": {key: written(outcome.average)}}
    return Proposal(outcome.replicas, _external_name(metric), {"type": "External", "external": shown})


def _of_value(wanted: Object, value: int, target: Target, shown: int, kind: str) -> tuple[Outcome, str]:
    """The outcome, and how its current value is called."""
    if wanted.get("averageValue") is not None:
        return by_share(replace(target, replicas=shown), value, _milli(wanted)), "averageValue"
    if wanted.get("value") is None:
        raise CannotCompute(NO_TARGET.format(kind, "a value", ""))
    return by_value(target, value, quantity.milli(str(wanted["value"]))), "value"


def _current(outcome: Outcome) -> Object:
    shown: dict[str, Any] = {"averageValue": written(outcome.average)}
    if outcome.utilization is not None:
        shown["averageUtilization"] = outcome.utilization
    return shown


def _milli(wanted: Object) -> int:
    return quantity.milli(str(wanted["averageValue"]))


def written(milli: int) -> str:
    """A value in thousandths as a quantity: 1500 is `1500m`, 2000 is `2`."""
    return quantity.written(Fraction(milli, 1000))


def _external_name(metric: Object) -> str:
    return f"external metric {metric['name']}({go_selector(metric.get('selector'))})"


def go_selector(selector: Object | None) -> str:
    """A label selector as Go prints it."""
    if selector is None:
        return "nil"
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items()))
    expressions = "".join(
        f"LabelSelectorRequirement{{Key:{one['key']},Operator:{one['operator']},"
        f"Values:[{' '.join(one.get('values') or ())}],}},"
        for one in selector.get("matchExpressions") or ()
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
