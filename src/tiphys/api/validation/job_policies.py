"""When a Job has failed, and when it has succeeded before all is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, duplicate, invalid, required, too_long, too_many
from tiphys.api.validation.values import choice_errors, name_errors

Spec = Mapping[str, Any]

_RULES_MAX, _SUCCESS_RULES_MAX, _VALUES_MAX, _PATTERNS_MAX = 20, 20, 255, 20
_INDEXES_LENGTH_MAX = 64 * 1024
_ACTIONS = ("FailJob", "FailIndex", "Ignore", "Count")
_EITHER = "specifying one of OnExitCodes and OnPodConditions is required"


def failure_policy_errors(spec: Spec, path: str) -> list[FieldError]:
    """Rules from a pod's failure to what the Job makes of it."""
    pod = (spec.get("template") or {}).get("spec") or {}
    containers = {each.get("name") for group in ("containers", "initContainers") for each in pod.get(group) or ()}
    rules = spec["podFailurePolicy"].get("rules") or ()
    errors = []
    if len(rules) > _RULES_MAX:
        errors.append(too_many(f"{path}.rules", len(rules), _RULES_MAX))
    for index, rule in enumerate(rules):
        errors += _rule_errors(rule, f"{path}.rules[{index}]", spec, containers)
    return errors


def _rule_errors(rule: Spec, path: str, spec: Spec, containers: set[Any]) -> list[FieldError]:
    action = rule.get("action")
    if not action:
        errors = [required(f"{path}.action", 'valid values: "Count", "FailIndex", "FailJob", "Ignore"')]
    elif action == "FailIndex" and "backoffLimitPerIndex" not in spec:
        errors = [invalid(f"{path}.action", action, "requires the backoffLimitPerIndex to be set")]
    else:
        errors = choice_errors(action, f"{path}.action", _ACTIONS)
    codes, patterns = rule.get("onExitCodes"), rule.get("onPodConditions") or ()
    if codes is not None:
        errors += _code_errors(codes, f"{path}.onExitCodes", containers)
    if len(patterns) > _PATTERNS_MAX:
        errors.append(too_many(f"{path}.onPodConditions", len(patterns), _PATTERNS_MAX))
    for index, pattern in enumerate(patterns):
        where = f"{path}.onPodConditions[{index}]"
        errors += name_errors(pattern.get("type", ""), f"{where}.type", names.qualified_name)
        errors += choice_errors(pattern.get("status"), f"{where}.status", ("False", "True", "Unknown"))
    if codes is not None and patterns:
        text = "specifying both OnExitCodes and OnPodConditions is not supported"
        errors.append(invalid(path, None, text))
    if codes is None and not patterns:
        errors.append(invalid(path, None, _EITHER))
    return errors


def _code_errors(codes: Spec, path: str, containers: set[Any]) -> list[FieldError]:
    operator, values = codes.get("operator"), codes.get("values") or ()
    errors: list[FieldError] = []
    if operator not in ("In", "NotIn"):
        errors += choice_errors(operator, f"{path}.operator", ("In", "NotIn"))
    name = codes.get("containerName")
    if name is not None and name not in containers:
        text = "must be one of the container or initContainer names in the pod template"
        errors.append(invalid(f"{path}.containerName", name, text))
    if not values:
        errors.append(invalid(f"{path}.values", list(values), "at least one value is required"))
    elif len(values) > _VALUES_MAX:
        errors.append(too_many(f"{path}.values", len(values), _VALUES_MAX))
    seen: set[int] = set()
    for index, value in enumerate(values):
        where = f"{path}.values[{index}]"
        if operator == "In" and value == 0:
            errors.append(invalid(where, value, "must not be 0 for the In operator"))
        if value in seen:
            errors.append(duplicate(where, value))
        seen.add(value)
    if list(values) != sorted(values):
        errors.append(invalid(f"{path}.values", list(values), "must be ordered"))
    return errors


def success_policy_errors(spec: Spec, path: str) -> list[FieldError]:
    """Which indexes, or how many of them, are enough."""
    rules = spec["successPolicy"].get("rules") or ()
    if not rules:
        return [required(f"{path}.rules", "at least one rules must be specified when the successPolicy is specified")]
    errors = []
    if len(rules) > _SUCCESS_RULES_MAX:
        errors.append(too_many(f"{path}.rules", len(rules), _SUCCESS_RULES_MAX))
    for index, rule in enumerate(rules):
        errors += _success_rule_errors(spec, rule, f"{path}.rules[{index}]")
    return errors


def _success_rule_errors(spec: Spec, rule: Spec, path: str) -> list[FieldError]:
    indexes, count = rule.get("succeededIndexes"), rule.get("succeededCount")
    completions = spec.get("completions") or 0
    if indexes is None and count is None:
        text = "at least one of succeededCount or succeededIndexes must be specified"
        return [required(path, text)]
    errors = []
    total = None
    if indexes is not None:
        if len(indexes) > _INDEXES_LENGTH_MAX:
            errors.append(too_long(f"{path}.succeededIndexes", _INDEXES_LENGTH_MAX))
        try:
            total = count_indexes(indexes, completions)
        except ValueError as error:
            text = f"error parsing succeededIndexes: {error}"
            errors.append(invalid(f"{path}.succeededIndexes", indexes, text))
    if count is None:
        return errors
    where = f"{path}.succeededCount"
    if count < 0:
        errors.append(invalid(where, count, "must be greater than or equal to 0"))
    if count > completions:
        text = f"must be less than or equal to {completions} (the number of specified completions)"
        errors.append(invalid(where, count, text))
    if total is not None and count > total:
        text = f"must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        errors.append(invalid(where, count, text))
    return errors


def count_indexes(text: str, completions: int) -> int:
    """How many indexes `0,2-4` are. ValueError with Kubernetes' words if it is no list in order below `completions`."""
    if not text:
        return 0
    total, previous = 0, -1
    for part in text.split(","):
        limits = part.split("-")
        if len(limits) > 2:
            rule = "an index interval can have at most two parts separated by '-'"
            raise ValueError(f'the fragment "{part}" violates the requirement that {rule}')
        first = _index(limits[0], completions, previous)
        last = _index(limits[1], completions, first) if len(limits) == 2 else first
        total += last - first + 1
        previous = last
    return total


def _index(text: str, completions: int, previous: int) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f'cannot convert string to integer for index: "{text}"')
    index = int(text)
    if previous >= index:
        raise ValueError(f"non-increasing order, previous: {previous}, current: {index}")
    if index >= completions:
        raise ValueError(f'too large index: "{text}"')
    return index
