"""Single values of the kinds that turn up everywhere in specs: numbers, enumerations, paths, label selectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, forbidden, invalid, not_supported, required
from tiphys.api.validation.metadata import label_errors

INT32_MAX = (1 << 31) - 1
NOT_NEGATIVE = "must be greater than or equal to 0"
IMMUTABLE = "field is immutable"
_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
_EXISTENCE = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
_MEMBERSHIP = "must be specified when `operator` is 'In' or 'NotIn'"


def name_errors(value: str, path: str, check: Callable[[str], list[str]]) -> list[FieldError]:
    """What `check` (of `names`) finds wrong with a text."""
    return [invalid(path, value, problem) for problem in check(value)]


def negative_errors(obj: Mapping[str, Any], path: str, *fields: str) -> list[FieldError]:
    """Those of the fields that are below zero; `path` ends with a dot."""
    return [
        invalid(path + field, obj[field], NOT_NEGATIVE)
        for field in fields
        if obj.get(field) is not None and obj[field] < 0
    ]


def range_errors(value: int | None, path: str, low: int, high: int) -> list[FieldError]:
    """A number that may be missing but not out of its range."""
    return [] if value is None or low <= value <= high else [invalid(path, value, names.between(low, high))]


def choice_errors(value: Any, path: str, allowed: Sequence[str], *, is_set: bool = True) -> list[FieldError]:
    """A value of an enumeration, which must be there."""
    if not value:
        return [required(path)]
    return [] if value in allowed else [not_supported(path, value, allowed, is_set=is_set)]


def option_errors(value: Any, path: str, allowed: Sequence[str], *, is_set: bool = True) -> list[FieldError]:
    """A value of an enumeration, which may be missing."""
    return [] if value is None or value in allowed else [not_supported(path, value, allowed, is_set=is_set)]


def port_errors(value: int | str, path: str) -> list[FieldError]:
    """The number or the name of a port."""
    check: list[str] = names.port_number(value) if isinstance(value, int) else names.port_name(value)
    return [invalid(path, value, problem) for problem in check]


def mode_errors(value: int | None, path: str) -> list[FieldError]:
    """The mode bits of a file."""
    return [] if value is None or 0 <= value <= 0o777 else [invalid(path, value, _MODE)]


def no_backsteps(value: str, path: str) -> list[FieldError]:
    """A path that does not climb."""
    return [invalid(path, value, "must not contain '..'")] if ".." in value.split("/") else []


def descending_path(value: str, path: str) -> list[FieldError]:
    """A relative path that stays below where it starts."""
    absolute = [invalid(path, value, "must be a relative path")] if value.startswith("/") else []
    return absolute + no_backsteps(value, path)


def local_path(value: str, path: str) -> list[FieldError]:
    """The same for a file that is written into a volume, where names with two dots in front are taken."""
    errors = descending_path(value, path)
    if value.startswith("..") and not value.startswith("../") and value != "..":
        errors.append(invalid(path, value, "must not start with '..'"))
    return errors


def selector_errors(selector: Mapping[str, Any] | None, path: str) -> list[FieldError]:
    """A label selector; none is none to complain of."""
    if not selector:
        return []
    errors = label_errors(selector["matchLabels"], f"{path}.matchLabels") if selector.get("matchLabels") else []
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        errors += _expression_errors(expression, f"{path}.matchExpressions[{index}]")
    return errors


def _expression_errors(expression: Mapping[str, Any], path: str) -> list[FieldError]:
    operator, values = expression.get("operator", ""), expression.get("values") or ()
    errors = []
    if operator in ("In", "NotIn"):
        if not values:
            errors.append(required(f"{path}.values", _MEMBERSHIP))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            errors.append(forbidden(f"{path}.values", _EXISTENCE))
    else:
        errors.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    errors += name_errors(expression.get("key", ""), f"{path}.key", names.qualified_name)
    for index, value in enumerate(values):
        errors += name_errors(value, f"{path}.values[{index}]", names.label_value)
    return errors


def shown_selector(selector: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A label selector as Go prints it: the fields of its structs in their order, maps sorted."""
    if selector is None:
        return None
    shown: dict[str, Any] = {}
    if selector.get("matchLabels"):
        shown["matchLabels"] = dict(sorted(selector["matchLabels"].items()))
    if selector.get("matchExpressions"):
        order = ("key", "operator", "values")
        shown["matchExpressions"] = [
            {name: each[name] for name in order if name in each} for each in selector["matchExpressions"]
        ]
    return shown


def node_expression_errors(expression: Mapping[str, Any], path: str) -> list[FieldError]:
    """One expression of a node selector term on labels."""
    operator, values = expression.get("operator", ""), expression.get("values") or ()
    if operator in ("Gt", "Lt"):
        wrong = len(values) != 1
        text = "must be specified single value when `operator` is 'Lt' or 'Gt'"
        errors = [required(f"{path}.values", text)] if wrong else []
        return errors + name_errors(expression.get("key", ""), f"{path}.key", names.qualified_name)
    return _expression_errors(expression, path)


def percent_or_count_errors(value: int | str, path: str) -> list[FieldError]:
    """A number that is not negative, or a percentage as text."""
    if isinstance(value, int):
        return [invalid(path, value, NOT_NEGATIVE)] if value < 0 else []
    if value.endswith("%") and value[:-1].isascii() and value[:-1].isdigit():
        return []
    rule = "a valid percent string must be a numeric string followed by an ending '%'"
    return [invalid(path, value, names.pattern_problem(rule, "[0-9]+%", "1%", "93%"))]


def percent_of(value: int | str) -> int | None:
    """The percentage that a value is; None if it is none."""
    if isinstance(value, str) and value.endswith("%") and value[:-1].isascii() and value[:-1].isdigit():
        return int(value[:-1])
    return None


def count_of(value: int | str) -> int:
    """A value as a number: a percentage counts as its percents."""
    return value if isinstance(value, int) else percent_of(value) or 0


def above_hundred_errors(value: int | str, path: str) -> list[FieldError]:
    """A percentage of more than all."""
    return [invalid(path, value, "must not be greater than 100%")] if (percent_of(value) or 0) > 100 else []
