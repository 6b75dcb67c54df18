"""Defaults of HorizontalPodAutoscalers, in both versions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

Object = dict[str, Any]

_UTILIZATION = 80
# v1 keeps metrics that it has no field for in this annotation.
METRICS_ANNOTATION = "autoscaling.alpha.kubernetes.io/metrics"
_PERIOD_SECONDS = 15


def set_autoscaler(obj: Object) -> None:
    """Fill an autoscaler of either version in place."""
    spec = obj["spec"]
    spec.setdefault("minReplicas", 1)
    if obj.get("apiVersion") == "autoscaling/v1":
        annotations = obj["metadata"].get("annotations") or {}
        if not _has_metrics(annotations.get(METRICS_ANNOTATION, "")):
            spec.setdefault("targetCPUUtilizationPercentage", _UTILIZATION)
        return
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": _UTILIZATION}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    if "behavior" in spec:
        _set_behavior(spec["behavior"])


def _has_metrics(annotation: str) -> bool:
    """Whether the annotation says anything; what cannot be read is as good as nothing."""
    try:
        return isinstance(orjson.loads(annotation), list)
    except orjson.JSONDecodeError:
        return False


def _set_behavior(behavior: Object) -> None:
    up = behavior.setdefault("scaleUp", {})
    up.setdefault("stabilizationWindowSeconds", 0)
    up.setdefault("selectPolicy", "Max")
    if "policies" not in up:
        up["policies"] = [_policy("Pods", 4), _policy("Percent", 100)]
    down = behavior.setdefault("scaleDown", {})
    down.setdefault("selectPolicy", "Max")
    if "policies" not in down:
        down["policies"] = [_policy("Percent", 100)]


def _policy(kind: str, value: int) -> Object:
    return {"type": kind, "value": value, "periodSeconds": _PERIOD_SECONDS}


DEFAULTS: Mapping[tuple[str, str], Callable[[Object], None]] = {
    ("autoscaling", "horizontalpodautoscalers"): set_autoscaler,
}
