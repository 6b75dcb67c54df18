"""PodDisruptionBudgets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, invalid, required
from tiphys.api.validation.validator import Object, Validator
from tiphys.api.validation.values import (
    above_hundred_errors,
    choice_errors,
    name_errors,
    negative_errors,
    option_errors,
    percent_or_count_errors,
    selector_errors,
    shown_selector,
)

_POLICIES = ("AlwaysAllow", "IfHealthyBudget")
_COUNTS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")


def disruption_budget(obj: Object) -> list[FieldError]:
    """A budget, which says either what must stay or what may go."""
    spec = obj.get("spec") or {}
    errors: list[FieldError] = []
    if "minAvailable" in spec and "maxUnavailable" in spec:
        errors.append(invalid("spec", _shown(spec), "minAvailable and maxUnavailable cannot be both set"))
    for name in ("minAvailable", "maxUnavailable"):
        if name in spec:
            errors += percent_or_count_errors(spec[name], f"spec.{name}")
            errors += above_hundred_errors(spec[name], f"spec.{name}")
    errors += selector_errors(spec.get("selector"), "spec.selector")
    policy = spec.get("unhealthyPodEvictionPolicy")
    return errors + option_errors(policy, "spec.unhealthyPodEvictionPolicy", _POLICIES)


def _shown(spec: Mapping[str, Any]) -> dict[str, Any]:
    order = ("minAvailable", "selector", "maxUnavailable", "unhealthyPodEvictionPolicy")
    shown = {name[0].upper() + name[1:]: spec.get(name) for name in order}
    return shown | {"Selector": shown_selector(spec.get("selector"))}


def _update(new: Object, old: Object) -> list[FieldError]:
    return disruption_budget(new)


def budget_status(new: Object, old: Object) -> list[FieldError]:
    """The counts and conditions of a budget."""
    status = new.get("status") or {}
    errors: list[FieldError] = []
    for index, condition in enumerate(status.get("conditions") or ()):
        errors += _condition_errors(condition, f"status.conditions[{index}]")
    return errors + negative_errors(status, "status.", *_COUNTS)


def _condition_errors(condition: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = name_errors(condition.get("type", ""), f"{path}.type", names.qualified_name)
    errors += choice_errors(condition.get("status") or " ", f"{path}.status", ("False", "True", "Unknown"))
    errors += negative_errors(condition, f"{path}.", "observedGeneration")
    if not condition.get("lastTransitionTime"):
        errors.append(required(f"{path}.lastTransitionTime"))
    if not condition.get("reason"):
        errors.append(required(f"{path}.reason"))
    return errors


VALIDATORS: Mapping[tuple[str, str], Validator] = {
    ("policy", "poddisruptionbudgets"): Validator(
        create=disruption_budget, update=_update, subresources={"status": budget_status}
    ),
}
