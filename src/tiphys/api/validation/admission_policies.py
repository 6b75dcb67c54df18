"""Are admission policies and their bindings valid. Expressions are compiled by admission, not here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, duplicate, forbidden, invalid, not_supported, required
from tiphys.api.validation.validator import Object, Validator
from tiphys.api.validation.values import selector_errors
from tiphys.api.validation.webhooks import OPERATIONS, match_condition_errors, rule_errors

_GROUP = "admissionregistration.k8s.io"
_MUTATED = tuple(each for each in OPERATIONS if each != "DELETE")
_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized")
_ACTIONS = ("Audit", "Deny", "Warn")
_NO_CHECK = "validations or auditAnnotations must contain at least one item"
_TWICE = (
    "must not contain both Deny and Warn (repeating the same validation failure information in the API response and "
    "headers serves no purpose)"
)
_is_identifier = re.compile("[_a-zA-Z][_a-zA-Z0-9]*").fullmatch


def validating(obj: Object) -> list[FieldError]:
    """What it is asked about, and what it checks."""
    spec: Mapping[str, Any] = obj.get("spec") or {}
    errors = _policy_errors(spec, OPERATIONS)
    checks, notes = spec.get("validations") or (), spec.get("auditAnnotations") or ()
    if not checks and not notes:
        return errors + [required(f"spec.{name}", _NO_CHECK) for name in ("validations", "auditAnnotations")]
    for index, check in enumerate(checks):
        errors += _check_errors(check, f"spec.validations[{index}]")
    seen: set[str] = set()
    for index, note in enumerate(notes):
        path, key = f"spec.auditAnnotations[{index}]", note.get("key", "")
        if not key:
            errors.append(required(f"{path}.key"))
        elif key in seen:
            errors.append(duplicate(f"{path}.key", key))
        seen.add(key)
        if not note.get("valueExpression", "").strip():
            errors.append(required(f"{path}.valueExpression"))
    return errors


def validating_update(new: Object, old: Object) -> list[FieldError]:
    return validating(new)


def _policy_errors(spec: Mapping[str, Any], operations: tuple[str, ...]) -> list[FieldError]:
    policy, errors = spec.get("failurePolicy"), []
    if policy is not None and policy not in ("Fail", "Ignore"):
        errors.append(not_supported("spec.failurePolicy", policy, ("Fail", "Ignore")))
    kind = spec.get("paramKind")
    if kind is not None:
        errors += [required(f"spec.paramKind.{name}") for name in ("apiVersion", "kind") if not kind.get(name)]
    match = spec.get("matchConstraints")
    if match is None:
        errors.append(required("spec.matchConstraints"))
    else:
        errors += _match_errors(match, "spec.matchConstraints", operations)
        if not match.get("resourceRules"):
            errors.append(required("spec.matchConstraints.resourceRules"))
    errors += match_condition_errors(spec.get("matchConditions") or (), "spec.matchConditions")
    return errors + _variable_errors(spec)


def _variable_errors(spec: Mapping[str, Any]) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, variable in enumerate(spec.get("variables") or ()):
        path, name = f"spec.variables[{index}]", variable.get("name", "")
        if not name:
            errors.append(required(f"{path}.name", "name is not specified"))
        elif not _is_identifier(name):
            errors.append(invalid(f"{path}.name", name, "must be a valid CEL identifier"))
        elif name in seen:
            errors.append(duplicate(f"{path}.name", name))
        seen.add(name)
        if not variable.get("expression", "").strip():
            errors.append(required(f"{path}.expression", "expression is not specified"))
    return errors


def _match_errors(match: Mapping[str, Any], path: str, operations: tuple[str, ...]) -> list[FieldError]:
    errors: list[FieldError] = []
    policy = match.get("matchPolicy")
    if policy is None:
        errors.append(required(f"{path}.matchPolicy"))
    elif policy not in ("Equivalent", "Exact"):
        errors.append(not_supported(f"{path}.matchPolicy", policy, ("Equivalent", "Exact")))
    for name in ("namespaceSelector", "objectSelector"):
        errors += selector_errors(match.get(name), f"{path}.{name}")
    for name in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(match.get(name) or ()):
            errors += rule_errors(rule, f"{path}.{name}[{index}]")
            if name == "resourceRules" and operations != OPERATIONS and "DELETE" in (rule.get("operations") or ()):
                errors.append(not_supported(f"{path}.resourceRules.operations", "DELETE", operations))
    return errors


def _check_errors(check: Mapping[str, Any], path: str) -> list[FieldError]:
    expression, message, reason = check.get("expression", ""), check.get("message", ""), check.get("reason")
    errors = [] if expression.strip() else [required(f"{path}.expression", "expression is not specified")]
    if message and not message.strip():
        errors.append(invalid(f"{path}.message", message, "message must be non-empty if specified"))
    elif "\n" in message.strip():
        errors.append(invalid(f"{path}.message", message, "message must not contain line breaks"))
    elif "\n" in expression.strip() and not message:
        errors.append(required(f"{path}.message", "message must be specified if expression contains line breaks"))
    if reason is not None and reason not in _REASONS:
        errors.append(not_supported(f"{path}.reason", reason, _REASONS))
    return errors


def mutating(obj: Object) -> list[FieldError]:
    """What it is asked about, and what it changes."""
    spec: Mapping[str, Any] = obj.get("spec") or {}
    errors = _policy_errors(spec, _MUTATED)
    mutations = spec.get("mutations") or ()
    if not mutations:
        errors.append(required("spec.mutations", "mutations must contain at least one item"))
    for index, mutation in enumerate(mutations):
        errors += _mutation_errors(mutation, f"spec.mutations[{index}]")
    again = spec.get("reinvocationPolicy")
    if not again:
        errors.append(required("spec.reinvocationPolicy"))
    elif again not in ("IfNeeded", "Never"):
        errors.append(not_supported("spec.reinvocationPolicy", again, ("IfNeeded", "Never")))
    return errors


def mutating_update(new: Object, old: Object) -> list[FieldError]:
    return mutating(new)


def _mutation_errors(mutation: Mapping[str, Any], path: str) -> list[FieldError]:
    kind = mutation.get("patchType", "")
    if not kind:
        return [required(f"{path}.patchType")]
    fields = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}
    wanted = fields.get(kind)
    if wanted is None:
        return [not_supported(f"{path}.patchType", kind, tuple(fields))]
    errors = []
    if mutation.get(wanted) is None:
        errors.append(required(f"{path}.{wanted}", f"must be specified when patchType is {kind}"))
    for other in fields.values():
        if other != wanted and mutation.get(other) is not None:
            text = f"must not be specified when patchType is {kind}"
            errors.append(invalid(f"{path}.{other}", f"{{{other}}}", text))
    return errors


def binding(obj: Object) -> list[FieldError]:
    """Which policy holds for what, with which parameters, and what becomes of a violation."""
    spec: Mapping[str, Any] = obj.get("spec") or {}
    errors = _binding_errors(spec, OPERATIONS)
    actions = spec.get("validationActions") or []
    path = "spec.validationActions"
    if not actions:
        errors.append(required(path, "at least one validation action is required"))
    for index, action in enumerate(actions):
        if action not in _ACTIONS:
            errors.append(not_supported(f"{path}[{index}]", action, _ACTIONS))
        elif action in actions[:index]:
            errors.append(duplicate(f"{path}[{index}]", action))
    if "Deny" in actions and "Warn" in actions:
        errors.append(invalid(path, actions, _TWICE))
    return errors


def binding_update(new: Object, old: Object) -> list[FieldError]:
    return binding(new)


def mutating_binding(obj: Object) -> list[FieldError]:
    return _binding_errors(obj.get("spec") or {}, _MUTATED)


def mutating_binding_update(new: Object, old: Object) -> list[FieldError]:
    return mutating_binding(new)


def _binding_errors(spec: Mapping[str, Any], operations: tuple[str, ...]) -> list[FieldError]:
    name, errors = spec.get("policyName", ""), []
    if not name:
        errors.append(required("spec.policyName"))
    else:
        errors += [invalid("spec.policyName", name, text) for text in names.dns_subdomain(name)]
    if spec.get("paramRef") is not None:
        errors += _parameter_errors(spec["paramRef"], "spec.paramRef")
    if spec.get("matchResources") is not None:
        errors += _match_errors(spec["matchResources"], "spec.matchResources", operations)
    return errors


def _parameter_errors(reference: Mapping[str, Any], path: str) -> list[FieldError]:
    name, selector, errors = reference.get("name", ""), reference.get("selector"), []
    if name:
        errors += [invalid(f"{path}.name", name, text) for text in names.path_segment(name)]
        if selector is not None:
            text = "name and selector are mutually exclusive"
            errors += [forbidden(f"{path}.{field}", text) for field in ("name", "selector")]
    elif selector is None:
        errors.append(required(path, "one of name or selector must be specified"))
    else:
        errors += selector_errors(selector, f"{path}.selector")
    action = reference.get("parameterNotFoundAction")
    if not action:
        errors.append(required(f"{path}.parameterNotFoundAction"))
    elif action not in ("Deny", "Allow"):
        where = f"{path}.parameterNotFoundAction"
        errors.append(not_supported(where, action, ("Deny", "Allow"), is_set=False))
    return errors


VALIDATORS = {
    (_GROUP, "validatingadmissionpolicies"): Validator(validating, validating_update),
    (_GROUP, "validatingadmissionpolicybindings"): Validator(binding, binding_update),
    (_GROUP, "mutatingadmissionpolicies"): Validator(mutating, mutating_update),
    (_GROUP, "mutatingadmissionpolicybindings"): Validator(mutating_binding, mutating_binding_update),
}
