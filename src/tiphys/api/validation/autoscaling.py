"""HorizontalPodAutoscalers, in the stored version (v2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tiphys.api import quantity
from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, forbidden, invalid, not_supported, required
from tiphys.api.validation.validator import Object, Validator
from tiphys.api.validation.values import name_errors, negative_errors, selector_errors

Spec = Mapping[str, Any]

_TYPES = ("ContainerResource", "External", "Object", "Pods", "Resource")
_SOURCES = {
    "object": "Object",
    "pods": "Pods",
    "resource": "Resource",
    "containerResource": "ContainerResource",
    "external": "External",
}
_PERIOD_SECONDS_MAX, _WINDOW_SECONDS_MAX = 1800, 3600
_AT_LEAST_ONE = "must be greater than or equal to 1"


def autoscaler(obj: Object) -> list[FieldError]:
    """An autoscaler."""
    spec = obj["spec"]
    least, most = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    errors: list[FieldError] = []
    if least is not None and least < 1:
        errors.append(invalid("spec.minReplicas", least, _AT_LEAST_ONE))
    if most == 0:
        errors.append(required("spec.maxReplicas", "must be set and greater than 0"))
    elif most < 1:
        errors.append(invalid("spec.maxReplicas", most, _AT_LEAST_ONE))
    if least is not None and most < least:
        errors.append(invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`"))
    errors += _target_reference_errors(spec.get("scaleTargetRef") or {}, "spec.scaleTargetRef")
    errors += _metric_list_errors(spec.get("metrics") or (), least)
    for name in ("scaleUp", "scaleDown"):
        rules = (spec.get("behavior") or {}).get(name)
        if rules is not None:
            errors += _rule_errors(rules, f"spec.behavior.{name}")
    return errors


def _reference_errors(reference: Spec, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for name in ("kind", "name"):
        value = reference.get(name)
        errors += name_errors(value, f"{path}.{name}", names.path_segment) if value else [required(f"{path}.{name}")]
    return errors


def _target_reference_errors(reference: Spec, path: str) -> list[FieldError]:
    errors = _reference_errors(reference, path)
    version = reference.get("apiVersion", "")
    if version.count("/") > 1:
        errors.append(invalid(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}"))
    elif "/" not in version and version != "v1":
        errors.append(invalid(f"{path}.apiVersion", version, "apiVersion must specify API group"))
    return errors


def _metric_list_errors(metrics: Any, least: int | None) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, metric in enumerate(metrics):
        errors += _metric_errors(metric, f"spec.metrics[{index}]")
    if least == 0 and not any(metric.get("type") in ("Object", "External") for metric in metrics):
        text = "must specify at least one Object or External metric to support scaling to zero replicas"
        errors.append(forbidden("spec.metrics", text))
    return errors


def _metric_errors(metric: Spec, path: str) -> list[FieldError]:
    kind = metric.get("type", "")
    if not kind:
        return [required(f"{path}.type", "must specify a metric source type")]
    errors: list[FieldError] = []
    if kind not in _TYPES:
        errors.append(not_supported(f"{path}.type", kind, _TYPES))
    wanted = next((name for name, its in _SOURCES.items() if its == kind), "")
    found = [name for name in _SOURCES if name in metric]
    for position, name in enumerate(found):
        if position:
            errors.append(forbidden(f"{path}.{name}", "must populate the given metric source only"))
        else:
            errors += _CHECKS[name](metric[name], f"{path}.{name}")
    if wanted and wanted not in metric:
        errors.append(required(f"{path}.{wanted}", "must populate information for the given metric source"))
    elif not wanted:
        errors.append(not_supported(f"{path}.type", kind, _TYPES))
    return errors


def _target_errors(target: Spec, path: str) -> list[FieldError]:
    kind = target.get("type", "")
    errors: list[FieldError] = []
    if not kind:
        errors.append(required(f"{path}.type", "must specify a metric target type"))
    if kind not in ("Utilization", "Value", "AverageValue"):
        errors.append(invalid(f"{path}.type", kind, "must be either Utilization, Value, or AverageValue"))
    errors += [
        invalid(f"{path}.{name}", target[name], "must be positive")
        for name in ("value", "averageValue")
        if name in target and quantity.parse(target[name]) <= 0
    ]
    share = target.get("averageUtilization")
    if share is not None and share < 1:
        errors.append(invalid(f"{path}.averageUtilization", share, "must be greater than 0"))
    return errors


def _identifier_errors(metric: Spec, path: str) -> list[FieldError]:
    name = metric.get("name")
    if not name:
        return [required(f"{path}.name", "must specify a metric name")]
    return name_errors(name, f"{path}.name", names.path_segment)


def _object_errors(source: Spec, path: str) -> list[FieldError]:
    errors = _reference_errors(source.get("describedObject") or {}, f"{path}.describedObject")
    errors += _identifier_errors(source.get("metric") or {}, f"{path}.metric")
    target = source.get("target") or {}
    errors += _target_errors(target, f"{path}.target")
    if "value" not in target and "averageValue" not in target:
        text = "must set either a target value for metric or a per-pod target"
        errors.append(required(f"{path}.target.averageValue", text))
    return errors


def _external_errors(source: Spec, path: str) -> list[FieldError]:
    metric, target = source.get("metric") or {}, source.get("target") or {}
    errors = _identifier_errors(metric, f"{path}.metric")
    errors += _target_errors(target, f"{path}.target")
    if "value" not in target and "averageValue" not in target:
        text = "must set either a target value for metric or a per-pod target"
        errors.append(required(f"{path}.target.averageValue", text))
    if "value" in target and "averageValue" in target:
        text = "may not set both a target value for metric and a per-pod target"
        errors.append(forbidden(f"{path}.target.value", text))
    return errors + selector_errors(metric.get("selector"), f"{path}.metric.selector")


def _pods_errors(source: Spec, path: str) -> list[FieldError]:
    target = source.get("target") or {}
    errors = _identifier_errors(source.get("metric") or {}, f"{path}.metric")
    errors += _target_errors(target, f"{path}.target")
    if "averageValue" not in target:
        text = "must specify a positive target averageValue"
        errors.append(required(f"{path}.target.averageValue", text))
    return errors


def _resource_errors(source: Spec, path: str) -> list[FieldError]:
    errors = [] if source.get("name") else [required(f"{path}.name", "must specify a resource name")]
    return errors + _usage_errors(source.get("target") or {}, f"{path}.target")


def _container_errors(source: Spec, path: str) -> list[FieldError]:
    errors = [] if source.get("name") else [required(f"{path}.name", "must specify a resource name")]
    container = source.get("container")
    if not container:
        errors.append(required(f"{path}.container", "must specify a container"))
    else:
        errors += name_errors(container, f"{path}.container", names.dns_label)
    return errors + _usage_errors(source.get("target") or {}, f"{path}.target")


def _usage_errors(target: Spec, path: str) -> list[FieldError]:
    errors = _target_errors(target, path)
    if "averageUtilization" not in target and "averageValue" not in target:
        text = "must set either a target raw value or a target utilization"
        errors.append(required(f"{path}.averageUtilization", text))
    if "averageUtilization" in target and "averageValue" in target:
        text = "may not set both a target raw value and a target utilization"
        errors.append(forbidden(f"{path}.averageValue", text))
    return errors


_CHECKS: Mapping[str, Callable[[Spec, str], list[FieldError]]] = {
    "object": _object_errors,
    "pods": _pods_errors,
    "resource": _resource_errors,
    "containerResource": _container_errors,
    "external": _external_errors,
}


def _rule_errors(rules: Spec, path: str) -> list[FieldError]:
    window = rules.get("stabilizationWindowSeconds")
    errors: list[FieldError] = []
    where = f"{path}.stabilizationWindowSeconds"
    if window is not None and window < 0:
        errors.append(invalid(where, window, "must be greater than or equal to zero"))
    if window is not None and window > _WINDOW_SECONDS_MAX:
        errors.append(invalid(where, window, f"must be less than or equal to {_WINDOW_SECONDS_MAX}"))
    select = rules.get("selectPolicy")
    if select is not None and select not in ("Disabled", "Max", "Min"):
        errors.append(not_supported(f"{path}.selectPolicy", select, ("Disabled", "Max", "Min")))
    policies = rules.get("policies") or ()
    if not policies:
        errors.append(required(f"{path}.policies", "must specify at least one Policy"))
    for index, policy in enumerate(policies):
        errors += _policy_errors(policy, f"{path}.policies[{index}]")
    tolerance = rules.get("tolerance")
    if tolerance is not None and tolerance.startswith("-"):
        errors.append(invalid(f"{path}.tolerance", tolerance, "must be greater than or equal to 0"))
    return errors


def _policy_errors(policy: Spec, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if policy.get("type") not in ("Percent", "Pods"):
        errors.append(not_supported(f"{path}.type", policy.get("type", ""), ("Percent", "Pods")))
    errors += [
        invalid(f"{path}.{name}", policy.get(name, 0), "must be greater than zero")
        for name in ("value", "periodSeconds")
        if policy.get(name, 0) <= 0
    ]
    if policy.get("periodSeconds", 0) > _PERIOD_SECONDS_MAX:
        text = f"must be less than or equal to {_PERIOD_SECONDS_MAX}"
        errors.append(invalid(f"{path}.periodSeconds", policy["periodSeconds"], text))
    return errors


def _update(new: Object, old: Object) -> list[FieldError]:
    return autoscaler(new)


def autoscaler_status(new: Object, old: Object) -> list[FieldError]:
    """The counts of an autoscaler."""
    return negative_errors(new.get("status") or {}, "status.", "currentReplicas", "desiredReplicas")


VALIDATORS: Mapping[tuple[str, str], Validator] = {
    ("autoscaling", "horizontalpodautoscalers"): Validator(
        create=autoscaler, update=_update, subresources={"status": autoscaler_status}
    ),
}
