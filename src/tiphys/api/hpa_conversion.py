"""
HorizontalPodAutoscaler between v1 and v2.

v1 knows one metric, CPU utilization, as a field of its own; all that v2 says besides travels in annotations, so that a
client of v1 loses nothing. The annotations hold the old metric types of v1, which name targets flatly.
"""

from __future__ import annotations

import copy
from typing import Any

import orjson

Object = dict[str, Any]

METRICS = "autoscaling.alpha.kubernetes.io/metrics"
CURRENT_METRICS = "autoscaling.alpha.kubernetes.io/current-metrics"
CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"
# The order of the fields in the old structs.
_ORDER = (
    "target", "name", "metricName", "metricSelector", "targetAverageUtilization", "currentAverageUtilization",
    "targetValue", "currentValue", "targetAverageValue", "currentAverageValue", "selector", "averageValue", "container",
)  # fmt: skip
_CONDITION = ("type", "status", "lastTransitionTime", "reason", "message")
_REFERENCE = ("kind", "name", "apiVersion")
_OURS = (METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR)


def to_v1(obj: Object) -> Object:
    """A v2 object as v1 shows it."""
    made = copy.deepcopy(obj)
    spec, status = made.get("spec") or {}, made.get("status") or {}
    annotations = {k: v for k, v in (made["metadata"].get("annotations") or {}).items() if k not in _OURS}
    others = []
    for metric in spec.pop("metrics", ()):
        utilization = _cpu_utilization(metric, "target")
        if utilization is None:
            others.append(_metric_to_v1(metric))
        else:
            spec["targetCPUUtilizationPercentage"] = utilization
    if others:
        annotations[METRICS] = _encoded(others)
    if "behavior" in spec:
        annotations[BEHAVIOR] = _encoded(_behavior(spec.pop("behavior")))
    currents = []
    for metric in status.pop("currentMetrics", None) or ():
        # The annotation has all of them, since the field cannot hold the raw value.
        currents.append(_metric_to_v1(metric))
        utilization = _cpu_utilization(metric, "current")
        if utilization is not None:
            status["currentCPUUtilizationPercentage"] = utilization
    if currents:
        annotations[CURRENT_METRICS] = _encoded(currents)
    if status.get("conditions"):
        annotations[CONDITIONS] = _encoded([_in_order(each, _CONDITION) for each in status["conditions"]])
    status.pop("conditions", None)
    status.setdefault("currentReplicas", 0)
    _annotate(made, annotations)
    return made


def from_v1(obj: Object) -> Object:
    """A v1 object in v2. An annotation that cannot be read is dropped."""
    made = copy.deepcopy(obj)
    spec, status = made.setdefault("spec", {}), made.setdefault("status", {})
    annotations = dict(made["metadata"].get("annotations") or {})
    metrics = _metrics_of(annotations.pop(METRICS, ""))
    utilization = spec.pop("targetCPUUtilizationPercentage", None)
    if utilization is not None:
        target = {"type": "Utilization", "averageUtilization": utilization}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    if metrics:
        spec["metrics"] = metrics
    behavior = _decoded(annotations.pop(BEHAVIOR, ""))
    if isinstance(behavior, dict) and behavior:
        spec["behavior"] = _uncapitalized(behavior)
    currents = _metrics_of(annotations.pop(CURRENT_METRICS, ""))
    utilization = status.pop("currentCPUUtilizationPercentage", None)
    if utilization is not None and not currents:
        current = {"averageUtilization": utilization}
        currents.append({"type": "Resource", "resource": {"name": "cpu", "current": current}})
    if "currentMetrics" not in status:
        status["currentMetrics"] = currents or None
    conditions = _decoded(annotations.pop(CONDITIONS, ""))
    if isinstance(conditions, list) and all(isinstance(each, dict) for each in conditions) and conditions:
        status["conditions"] = conditions
    _annotate(made, annotations)
    return made


def _metrics_of(text: str) -> list[Object]:
    """The metrics of an annotation; none if it is not what `to_v1` writes."""
    found = _decoded(text)
    if not isinstance(found, list):
        return []
    try:
        return [_metric_from_v1(metric) for metric in found]
    except (AttributeError, TypeError, ValueError):
        return []


def _annotate(obj: Object, annotations: dict[str, str]) -> None:
    if annotations:
        obj["metadata"]["annotations"] = annotations
    else:
        obj["metadata"].pop("annotations", None)


def _cpu_utilization(metric: Object, side: str) -> Any:
    """The one thing that v1 has a field for."""
    source = metric.get("resource") or {}
    if metric.get("type") != "Resource" or source.get("name") != "cpu":
        return None
    return (source.get(side) or {}).get("averageUtilization")


def _metric_to_v1(metric: Object) -> Object:
    kind = metric["type"]
    field = kind[:1].lower() + kind[1:]
    source = dict(metric.get(field) or {})
    for side, prefix in (("target", "target"), ("current", "current")):
        value = source.pop(side, None)
        if value is not None:
            source |= _flat(value, prefix, kind)
    named = source.pop("metric", None)
    if named is not None:
        source["metricName"] = named.get("name", "")
        if named.get("selector"):
            source["metricSelector" if kind == "External" else "selector"] = named["selector"]
    described = source.pop("describedObject", None)
    if described is not None:
        source["target"] = _in_order(described, _REFERENCE)
    return {"type": kind, field: {name: source[name] for name in _ORDER if name in source}}


def _flat(value: Object, prefix: str, kind: str) -> Object:
    found: Object = {}
    if "averageUtilization" in value:
        found[f"{prefix}AverageUtilization"] = value["averageUtilization"]
    if "averageValue" in value:
        found["averageValue" if kind == "Object" else f"{prefix}AverageValue"] = value["averageValue"]
    if "value" in value:
        found[f"{prefix}Value"] = value["value"]
    return found


def _metric_from_v1(metric: Object) -> Object:
    kind = str(metric.get("type", ""))
    field = kind[:1].lower() + kind[1:]
    source = dict(metric.get(field) or {})
    value: Object = {}
    side = "current" if any(name.startswith("current") for name in source) else "target"
    for name, short, type_ in (
        (f"{side}AverageUtilization", "averageUtilization", "Utilization"),
        (f"{side}AverageValue", "averageValue", "AverageValue"),
        ("averageValue", "averageValue", "AverageValue"),
        (f"{side}Value", "value", "Value"),
    ):
        if source.get(name) is not None:
            value[short] = source.pop(name)
            value.setdefault("type", type_)
    if side == "current":
        value.pop("type", None)
    if kind == "Object" and isinstance(source.get("target"), dict):
        source["describedObject"] = source.pop("target")
    selector = source.pop("metricSelector", None) or source.pop("selector", None)
    if "metricName" in source:
        source["metric"] = {"name": source.pop("metricName"), **({"selector": selector} if selector else {})}
    return {"type": kind, field: {**source, side: value}}


def _behavior(behavior: Object) -> Object:
    """Scaling rules are written with Go's field names, in their order, and null for what is not said."""
    return {
        "ScaleUp": _rules(behavior.get("scaleUp")),
        "ScaleDown": _rules(behavior.get("scaleDown")),
    }


def _rules(rules: Object | None) -> Object | None:
    if rules is None:
        return None
    policies = [_in_order(policy, ("type", "value", "periodSeconds")) for policy in rules.get("policies") or ()]
    made = {name: rules.get(name) for name in ("stabilizationWindowSeconds", "selectPolicy")}
    made |= {"policies": [_capitalized(policy) for policy in policies], "tolerance": rules.get("tolerance")}
    return _capitalized(made)


def _capitalized(value: Object) -> Object:
    return {key[:1].upper() + key[1:]: item for key, item in value.items()}


def _in_order(value: Object, names: tuple[str, ...]) -> Object:
    return {name: value[name] for name in names if name in value}


def _uncapitalized(value: Any) -> Any:
    if isinstance(value, dict):
        said = {key: item for key, item in value.items() if item is not None}
        return {key[:1].lower() + key[1:]: _uncapitalized(item) for key, item in said.items()}
    return [_uncapitalized(item) for item in value] if isinstance(value, list) else value


def _encoded(value: Any) -> str:
    return orjson.dumps(value).decode()


def _decoded(text: str) -> Any:
    try:
        return orjson.loads(text) if text else None
    except orjson.JSONDecodeError:
        return None
