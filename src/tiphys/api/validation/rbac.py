"""Are roles and their bindings valid. Who may grant what is decided elsewhere."""

from __future__ import annotations

from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, invalid, not_supported, required
from tiphys.api.validation.internal import internal
from tiphys.api.validation.validator import Object, Validator
from tiphys.api.validation.values import selector_errors

_GROUP = "rbac.authorization.k8s.io"


def role(obj: Object) -> list[FieldError]:
    return _rules_errors(obj, namespaced=True)


def role_update(new: Object, old: Object) -> list[FieldError]:
    return role(new)


def cluster_role(obj: Object) -> list[FieldError]:
    """Its rules, or the labels of the roles that it is made of."""
    errors = _rules_errors(obj, namespaced=False)
    aggregation = obj.get("aggregationRule")
    if aggregation is None:
        return errors
    path = "aggregationRule.clusterRoleSelectors"
    selectors = aggregation.get("clusterRoleSelectors") or ()
    if not selectors:
        text = "at least one clusterRoleSelector required if aggregationRule is non-nil"
        errors.append(required(path, text))
    for index, selector in enumerate(selectors):
        errors += selector_errors(selector, f"{path}[{index}]")
    return errors


def cluster_role_update(new: Object, old: Object) -> list[FieldError]:
    return cluster_role(new)


def _rules_errors(obj: Object, *, namespaced: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, rule in enumerate(obj.get("rules") or ()):
        errors += _rule_errors(rule, f"rules[{index}]", namespaced=namespaced)
    return errors


def _rule_errors(rule: Object, path: str, *, namespaced: bool) -> list[FieldError]:
    errors = []
    if not rule.get("verbs"):
        errors.append(required(f"{path}.verbs", "verbs must contain at least one value"))
    urls = rule.get("nonResourceURLs")
    if urls:
        where = f"{path}.nonResourceURLs"
        if namespaced:
            errors.append(invalid(where, urls, "namespaced rules cannot apply to non-resource URLs"))
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            errors.append(invalid(where, urls, "rules cannot apply to both regular resources and non-resource URLs"))
        return errors
    if not rule.get("apiGroups"):
        errors.append(required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
    if not rule.get("resources"):
        errors.append(required(f"{path}.resources", "resource rules must supply at least one resource"))
    return errors


def role_binding(obj: Object) -> list[FieldError]:
    return _binding_errors(obj, ("Role", "ClusterRole"), namespaced=True)


def cluster_role_binding(obj: Object) -> list[FieldError]:
    return _binding_errors(obj, ("ClusterRole",), namespaced=False)


def _binding_errors(obj: Object, kinds: tuple[str, ...], *, namespaced: bool) -> list[FieldError]:
    reference, errors = obj.get("roleRef") or {}, []
    if reference.get("apiGroup") != _GROUP:
        errors.append(not_supported("roleRef.apiGroup", reference.get("apiGroup", ""), (_GROUP,)))
    if reference.get("kind") not in kinds:
        errors.append(not_supported("roleRef.kind", reference.get("kind", ""), kinds, is_set=False))
    name = reference.get("name", "")
    if not name:
        errors.append(required("roleRef.name"))
    errors += [invalid("roleRef.name", name, text) for text in names.path_segment(name)]
    for index, subject in enumerate(obj.get("subjects") or ()):
        errors += _subject_errors(subject, f"subjects[{index}]", namespaced=namespaced)
    return errors


def _subject_errors(subject: Object, path: str, *, namespaced: bool) -> list[FieldError]:
    kind, name, group = subject.get("kind", ""), subject.get("name", ""), subject.get("apiGroup", "")
    errors = [] if name else [required(f"{path}.name")]
    if kind == "ServiceAccount":
        errors += [invalid(f"{path}.name", name, text) for text in names.dns_subdomain(name) if name]
        if group:
            errors.append(not_supported(f"{path}.apiGroup", group, ("",)))
        if not namespaced and not subject.get("namespace"):
            errors.append(required(f"{path}.namespace"))
    elif kind in ("User", "Group"):
        if group != _GROUP:
            errors.append(not_supported(f"{path}.apiGroup", group, (_GROUP,)))
    else:
        errors.append(not_supported(f"{path}.kind", kind, ("ServiceAccount", "User", "Group"), is_set=False))
    return errors


def _reference_errors(new: Object, old: Object) -> list[FieldError]:
    if new.get("roleRef") == old.get("roleRef"):
        return []
    return [invalid("roleRef", internal(new.get("roleRef"), "rbac.v1.RoleRef"), "cannot change roleRef")]


def role_binding_update(new: Object, old: Object) -> list[FieldError]:
    """What is bound stays: another role is another binding."""
    return role_binding(new) + _reference_errors(new, old)


def cluster_role_binding_update(new: Object, old: Object) -> list[FieldError]:
    return cluster_role_binding(new) + _reference_errors(new, old)


VALIDATORS = {
    (_GROUP, "roles"): Validator(role, role_update, names.path_segment),
    (_GROUP, "clusterroles"): Validator(cluster_role, cluster_role_update, names.path_segment),
    (_GROUP, "rolebindings"): Validator(role_binding, role_binding_update, names.path_segment),
    (_GROUP, "clusterrolebindings"): Validator(cluster_role_binding, cluster_role_binding_update, names.path_segment),
}
