"""Is a label selector, or a selector of nodes, valid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, forbidden, invalid, required
from tiphys.api.validation.metadata import label_errors


def label_selector_errors(selector: Mapping[str, Any] | None, path: str) -> list[FieldError]:
    """matchLabels and matchExpressions."""
    if not selector:
        return []
    errors = label_errors(selector.get("matchLabels") or {}, f"{path}.matchLabels")
    for index, each in enumerate(selector.get("matchExpressions") or ()):
        errors += _expression_errors(each, f"{path}.matchExpressions[{index}]")
    return errors


def _expression_errors(expression: Mapping[str, Any], path: str) -> list[FieldError]:
    operator, values, errors = expression.get("operator", ""), expression.get("values") or (), []
    if operator in ("In", "NotIn"):
        if not values:
            errors.append(required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.append(forbidden(f"{path}.values", text))
    else:
        errors.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    key = expression.get("key", "")
    errors += [invalid(f"{path}.key", key, text) for text in names.qualified_name(key)]
    for index, value in enumerate(values):
        errors += [invalid(f"{path}.values[{index}]", value, text) for text in names.label_value(value)]
    return errors


def node_selector_errors(selector: Mapping[str, Any], path: str) -> list[FieldError]:
    """The terms of a selector of nodes (PersistentVolume, RuntimeClass)."""
    terms = selector.get("nodeSelectorTerms") or ()
    if not terms:
        return [required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")]
    errors: list[FieldError] = []
    for index, term in enumerate(terms):
        for name in ("matchExpressions", "matchFields"):
            for at, each in enumerate(term.get(name) or ()):
                where = f"{path}.nodeSelectorTerms[{index}].{name}[{at}]"
                errors += _node_requirement_errors(each, where)
    return errors


def _node_requirement_errors(requirement: Mapping[str, Any], path: str) -> list[FieldError]:
    operator, values, errors = requirement.get("operator", ""), requirement.get("values") or (), []
    if operator in ("In", "NotIn"):
        if not values:
            errors.append(required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.append(forbidden(f"{path}.values", text))
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            errors.append(required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'"))
    else:
        errors.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    key = requirement.get("key", "")
    return errors + [invalid(f"{path}.key", key, text) for text in names.qualified_name(key)]
