"""Where a pod may run: affinity, tolerations, spread constraints, gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, duplicate, forbidden, invalid, not_supported, required
from tiphys.api.validation.values import (
    choice_errors,
    name_errors,
    node_expression_errors,
    option_errors,
    selector_errors,
)

Object = Mapping[str, Any]

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_UNSATISFIABLE = ("DoNotSchedule", "ScheduleAnyway")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def affinity_errors(affinity: Object, path: str) -> list[FieldError]:
    """All kinds of affinity."""
    errors: list[FieldError] = []
    if "nodeAffinity" in affinity:
        errors += _node_affinity_errors(affinity["nodeAffinity"], f"{path}.nodeAffinity")
    for name in ("podAffinity", "podAntiAffinity"):
        if name in affinity:
            errors += _pod_affinity_errors(affinity[name], f"{path}.{name}")
    return errors


def _node_affinity_errors(affinity: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if _REQUIRED in affinity:
        errors += node_selector_errors(affinity[_REQUIRED], f"{path}.{_REQUIRED}")
    for index, term in enumerate(affinity.get(_PREFERRED) or ()):
        where = f"{path}.{_PREFERRED}[{index}]"
        errors += _weight_errors(term, where)
        errors += node_term_errors(term.get("preference") or {}, f"{where}.preference")
    return errors


def node_selector_errors(selector: Object, path: str) -> list[FieldError]:
    """A node selector, which is any of its terms."""
    terms = selector.get("nodeSelectorTerms") or ()
    if not terms:
        return [required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")]
    return [
        error
        for index, term in enumerate(terms)
        for error in node_term_errors(term, f"{path}.nodeSelectorTerms[{index}]")
    ]


def node_term_errors(term: Object, path: str) -> list[FieldError]:
    """A term, which is all of its expressions."""
    errors: list[FieldError] = []
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        errors += node_expression_errors(expression, f"{path}.matchExpressions[{index}]")
    for index, expression in enumerate(term.get("matchFields") or ()):
        errors += _field_expression_errors(expression, f"{path}.matchFields[{index}]")
    return errors


def _field_expression_errors(expression: Object, path: str) -> list[FieldError]:
    operator, values, key = expression.get("operator", ""), expression.get("values") or (), expression.get("key", "")
    errors: list[FieldError] = []
    if operator not in ("In", "NotIn"):
        errors.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    elif len(values) != 1:
        text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        errors.append(required(f"{path}.values", text))
    if key != "metadata.name":
        return [*errors, invalid(f"{path}.key", key, "not a valid field selector key")]
    for index, value in enumerate(values):
        errors += name_errors(value, f"{path}.values[{index}]", names.dns_subdomain)
    return errors


def _weight_errors(term: Object, path: str) -> list[FieldError]:
    weight = term.get("weight", 0)
    return [] if 0 < weight <= 100 else [invalid(f"{path}.weight", weight, "must be in the range 1-100")]


def _pod_affinity_errors(affinity: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, term in enumerate(affinity.get(_REQUIRED) or ()):
        errors += _pod_term_errors(term, f"{path}.{_REQUIRED}[{index}]")
    for index, weighted in enumerate(affinity.get(_PREFERRED) or ()):
        where = f"{path}.{_PREFERRED}[{index}]"
        errors += _weight_errors(weighted, where)
        errors += _pod_term_errors(weighted.get("podAffinityTerm") or {}, f"{where}.podAffinityTerm")
    return errors


def _pod_term_errors(term: Object, path: str) -> list[FieldError]:
    errors = selector_errors(term.get("labelSelector"), f"{path}.labelSelector")
    errors += selector_errors(term.get("namespaceSelector"), f"{path}.namespaceSelector")
    for namespace in term.get("namespaces") or ():
        errors += name_errors(namespace, f"{path}.namespace", names.dns_label)
    for name in ("matchLabelKeys", "mismatchLabelKeys"):
        if term.get(name):
            errors += _label_key_errors(term[name], f"{path}.{name}", term.get("labelSelector"))
    both = set(term.get("mismatchLabelKeys") or ())
    for index, key in enumerate(term.get("matchLabelKeys") or ()):
        if key in both:
            text = "exists in both matchLabelKeys and mismatchLabelKeys"
            errors.append(invalid(f"{path}.matchLabelKeys[{index}]", key, text))
    topology = term.get("topologyKey", "")
    if not topology:
        errors.append(required(f"{path}.topologyKey", "can not be empty"))
    return errors + name_errors(topology, f"{path}.topologyKey", names.qualified_name)


def _label_key_errors(keys: Sequence[str], path: str, selector: Object | None) -> list[FieldError]:
    if selector is None:
        return [forbidden(path, "must not be specified when labelSelector is not set")]
    return [
        error for index, key in enumerate(keys) for error in name_errors(key, f"{path}[{index}]", names.qualified_name)
    ]


def toleration_list_errors(tolerations: Sequence[Object], path: str) -> list[FieldError]:
    """What a pod tolerates."""
    errors: list[FieldError] = []
    for index, toleration in enumerate(tolerations):
        where, operator = f"{path}[{index}]", toleration.get("operator", "")
        effect, value, key = toleration.get("effect", ""), toleration.get("value", ""), toleration.get("key", "")
        if key:
            errors += name_errors(key, f"{where}.key", names.qualified_name)
        elif operator != "Exists":
            text = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            errors.append(invalid(f"{where}.operator", operator, text))
        if "tolerationSeconds" in toleration and effect != "NoExecute":
            text = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            errors.append(invalid(f"{where}.effect", effect, text))
        errors += _operator_errors(operator, value, f"{where}.operator")
        if effect and effect not in _EFFECTS:
            errors.append(not_supported(f"{where}.effect", effect, _EFFECTS, is_set=False))
    return errors


def _operator_errors(operator: str, value: str, path: str) -> list[FieldError]:
    if operator in ("", "Equal"):
        problems = names.label_value(value)
        return [invalid(path, value, ";".join(problems))] if problems else []
    if operator == "Exists":
        return [invalid(path, value, "value must be empty when `operator` is 'Exists'")] if value else []
    # Comparing tolerations are an option that is off; Kubernetes names them all the same.
    allowed = ("Equal", "Exists", "Lt", "Gt") if operator in ("Lt", "Gt") else ("Equal", "Exists")
    return [not_supported(path, operator, allowed, is_set=False)]


def spread_errors(constraints: Sequence[Object], path: str) -> list[FieldError]:
    """Topology spread constraints."""
    errors: list[FieldError] = []
    pairs = [(each.get("topologyKey", ""), each.get("whenUnsatisfiable", "")) for each in constraints]
    for index, constraint in enumerate(constraints):
        where = f"{path}[{index}]"
        topology, action = constraint.get("topologyKey", ""), constraint.get("whenUnsatisfiable", "")
        if constraint.get("maxSkew", 0) <= 0:
            errors.append(invalid(f"{where}.maxSkew", constraint.get("maxSkew", 0), "must be greater than zero"))
        if not topology:
            errors.append(required(f"{where}.topologyKey", "can not be empty"))
        if action not in _UNSATISFIABLE:
            errors.append(not_supported(f"{where}.whenUnsatisfiable", action, _UNSATISFIABLE))
        if (topology, action) in pairs[index + 1 :]:
            both = f"{{{topology}, {action}}}"
            errors.append(duplicate(f"{where}.{{topologyKey, whenUnsatisfiable}}", both))
        errors += _domain_errors(constraint, where, action)
        for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            errors += option_errors(constraint.get(name), f"{where}.{name}", ("Honor", "Ignore"))
        if constraint.get("matchLabelKeys"):
            selector = constraint.get("labelSelector")
            errors += _label_key_errors(constraint["matchLabelKeys"], f"{where}.matchLabelKeys", selector)
        errors += selector_errors(constraint.get("labelSelector"), f"{where}.labelSelector")
    return errors


def _domain_errors(constraint: Object, path: str, action: str) -> list[FieldError]:
    least = constraint.get("minDomains")
    if least is None:
        return []
    errors = [] if least > 0 else [invalid(f"{path}.minDomains", least, "must be greater than zero")]
    if action == "ScheduleAnyway":
        text = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
        errors.append(invalid(f"{path}.minDomains", least, text))
    return errors


def gate_errors(gates: Sequence[Object], path: str) -> list[FieldError]:
    """What a pod waits for before it is scheduled."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, gate in enumerate(gates):
        name = gate.get("name", "")
        errors += name_errors(name, f"{path}[{index}]", names.qualified_name)
        if name in seen:
            errors.append(duplicate(f"{path}[{index}]", name))
        seen.add(name)
    return errors


def taint_effect_errors(effect: Any, path: str) -> list[FieldError]:
    """The effect of a taint, which must be said."""
    return choice_errors(effect, path, _EFFECTS, is_set=False)
