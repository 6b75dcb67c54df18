"""Are resource quotas and limit ranges valid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.api import quantity
from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, duplicate, forbidden, invalid, required
from tiphys.api.validation.nodes import amount_errors
from tiphys.api.validation.resource_names import COMPUTE, STANDARD, STANDARD_QUOTA, is_hugepages
from tiphys.api.validation.validator import Object, Validator

_STATES = ("Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "CrossNamespacePodAffinity")
_SCOPES = (*_STATES, "PriorityClass", "VolumeAttributesClass")
_CLAIMS = frozenset(("persistentvolumeclaims", "requests.storage"))
_EXISTS_ONLY = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)
_LISTS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
# What may not be above what, whose fault it is, which value is shown, and in which words.
_ORDER = (
    ("min", "max", "min", "min", "min value {} is greater than max value {}"),
    ("min", "defaultRequest", "defaultRequest", "defaultRequest",
     "min value {} is greater than default request value {}"),
    ("defaultRequest", "max", "defaultRequest", "defaultRequest",
     "default request value {} is greater than max value {}"),
    ("defaultRequest", "default", "defaultRequest", "defaultRequest",
     "default request value {} is greater than default limit value {}"),
    ("min", "default", "default", "min", "min value {} is greater than default value {}"),
    ("default", "max", "default", "max", "default value {} is greater than max value {}"),
)  # fmt: skip
_LIMIT_TYPES = ("Container", "PersistentVolumeClaim", "Pod")


def quota(obj: Object) -> list[FieldError]:
    spec = obj.get("spec") or {}
    hard = spec.get("hard") or {}
    return _amounts_errors(hard, "spec.hard") + _scope_errors(spec, hard) + _scope_selector_errors(spec, hard)


def quota_update(new: Object, old: Object) -> list[FieldError]:
    """What a quota is for stays; how much may change."""
    errors = quota(new)
    scopes = (new.get("spec") or {}).get("scopes") or []
    if sorted(scopes) != sorted((old.get("spec") or {}).get("scopes") or []):
        errors.append(invalid("spec.scopes", scopes or None, "field is immutable"))
    return errors


def quota_status(new: Object, old: Object) -> list[FieldError]:
    status = new.get("status") or {}
    return _amounts_errors(status.get("hard") or {}, "status.hard") + _amounts_errors(
        status.get("used") or {}, "status.used"
    )


def _amounts_errors(amounts: Mapping[str, str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for name, amount in amounts.items():
        where = f"{path}[{name}]"
        errors += _name_errors(name, where)
        if "/" not in name and not _is_standard(name):
            errors.append(invalid(where, name, "must be a standard resource for quota"))
        errors += amount_errors(name, amount, where)
    return errors


def _is_standard(name: str) -> bool:
    return name in STANDARD_QUOTA or is_hugepages(name)


def _name_errors(name: str, path: str) -> list[FieldError]:
    problems = names.qualified_name(name)
    if problems:
        return [invalid(path, name, text) for text in problems]
    if "/" not in name and name not in STANDARD and not is_hugepages(name):
        return [invalid(path, name, "must be a standard resource type or fully qualified")]
    return []


def _fits(scope: str, name: str) -> bool:
    """Whether a scope can tell apart what this resource counts."""
    if scope == "BestEffort":
        return name == "pods"
    if scope == "VolumeAttributesClass":
        return name in _CLAIMS
    return name in COMPUTE or is_hugepages(name)


def _scope_errors(spec: Mapping[str, Any], hard: Mapping[str, str]) -> list[FieldError]:
    scopes: list[str] = spec.get("scopes") or []
    errors = []
    for scope in scopes:
        if scope not in _SCOPES:
            errors.append(invalid("spec.scopes", scopes, "unsupported scope"))
        errors += [
            invalid("spec.scopes", scopes, "unsupported scope applied to resource")
            for name in sorted(hard)
            if _is_standard(name) and not _fits(scope, name)
        ]
    for one, other in (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")):
        if one in scopes and other in scopes:
            errors.append(invalid("spec.scopes", scopes, "conflicting scopes"))
    return errors


def _scope_selector_errors(spec: Mapping[str, Any], hard: Mapping[str, str]) -> list[FieldError]:
    path, errors = "spec.scopeSelector.matchExpressions", []
    selector = spec.get("scopeSelector") or {}
    for each in selector.get("matchExpressions") or ():
        scope, operator, values = each.get("scopeName", ""), each.get("operator", ""), each.get("values") or []
        if scope not in _SCOPES:
            errors.append(invalid(f"{path}.scopeName", scope, "unsupported scope"))
        errors += [
            invalid(path, selector, "unsupported scope applied to resource")
            for name in sorted(hard)
            if _is_standard(name) and not _fits(scope, name)
        ]
        if scope in _STATES and operator != "Exists":
            errors.append(invalid(f"{path}.operator", operator, _EXISTS_ONLY))
        errors += _operator_errors(operator, values, path)
    return errors


def _operator_errors(operator: str, values: Sequence[str], path: str) -> list[FieldError]:
    if operator in ("In", "NotIn"):
        text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
        return [] if values else [required(f"{path}.values", text)]
    if operator in ("Exists", "DoesNotExist"):
        text = "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector"
        return [invalid(f"{path}.values", list(values), text)] if values else []
    return [invalid(f"{path}.operator", operator, "not a valid selector operator")]


def limit_range(obj: Object) -> list[FieldError]:
    """Limits of each type once, and none that contradict one another."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, item in enumerate((obj.get("spec") or {}).get("limits") or ()):
        path, kind = f"spec.limits[{index}]", item.get("type", "")
        errors += [invalid(f"{path}.type", kind, text) for text in names.qualified_name(kind)]
        if kind and "/" not in kind and kind not in _LIMIT_TYPES:
            errors.append(invalid(f"{path}.type", kind, "must be a standard limit type or fully qualified"))
        if kind in seen:
            errors.append(duplicate(f"{path}.type", kind))
        seen.add(kind)
        errors += _limit_errors(item, path)
    return errors


def limit_range_update(new: Object, old: Object) -> list[FieldError]:
    return limit_range(new)


def _limit_errors(item: Mapping[str, Any], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    kind = item.get("type", "")
    for listed in _LISTS:
        if kind == "Pod" and listed.startswith("default") and item.get(listed):
            errors.append(forbidden(f"{path}.{listed}", "may not be specified when `type` is 'Pod'"))
            continue
        for name in item.get(listed) or {}:
            errors += _name_errors(name, f"{path}.{listed}[{name}]")
    storage = [(item.get(listed) or {}).get("storage") for listed in ("min", "max")]
    if kind == "PersistentVolumeClaim" and storage == [None, None]:
        text = "either minimum or maximum storage value is required, but neither was provided"
        errors.append(required(f"{path}.limits", text))
    resources = sorted({name for listed in _LISTS for name in item.get(listed) or ()})
    for name in resources:
        errors += _order_errors({listed: (item.get(listed) or {}).get(name) for listed in _LISTS}, name, path)
    return errors


def _order_errors(amounts: Mapping[str, str | None], name: str, path: str) -> list[FieldError]:
    errors = []
    for below, above, blamed, shown, what in _ORDER:
        lower, upper = amounts[below], amounts[above]
        if lower is not None and upper is not None and quantity.parse(lower) > quantity.parse(upper):
            errors.append(invalid(f"{path}.{blamed}[{name}]", amounts[shown], what.format(lower, upper)))
    ratio = amounts["maxLimitRequestRatio"]
    if ratio is not None and quantity.parse(ratio) < 1:
        errors.append(invalid(f"{path}.maxLimitRequestRatio[{name}]", ratio, f"ratio {ratio} is less than 1"))
    return errors


VALIDATORS = {
    ("", "resourcequotas"): Validator(quota, quota_update, subresources={"status": quota_status}),
    ("", "limitranges"): Validator(limit_range, limit_range_update),
}
