"""Are flow schemas and priority levels valid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, forbidden, invalid, not_supported, required
from tiphys.api.validation.internal import internal
from tiphys.api.validation.validator import Object, Validator

_GROUP = "flowcontrol.apiserver.k8s.io"
_PRECEDENCE_MAX = 10000
_QUEUES_MAX = 10_000_000
_ALL = {
    "resourceRules": [
        {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}
    ],
    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
}
# Two schemas are Kubernetes' own and never changed: the way past all limits, and the way for all that no other takes.
_FIXED: Mapping[str, Object] = {
    "exempt": {
        "priorityLevelConfiguration": {"name": "exempt"},
        "matchingPrecedence": 1,
        "rules": [{"subjects": [{"kind": "Group", "group": {"name": "system:masters"}}], **_ALL}],
    },
    "catch-all": {
        "priorityLevelConfiguration": {"name": "catch-all"},
        "matchingPrecedence": 10000,
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [
            {
                "subjects": [
                    {"kind": "Group", "group": {"name": "system:unauthenticated"}},
                    {"kind": "Group", "group": {"name": "system:authenticated"}},
                ],
                **_ALL,
            }
        ],
    },
}
_SUBJECT_KINDS = ("Group", "ServiceAccount", "User")


def flow_schema(obj: Object) -> list[FieldError]:
    """Which requests, of which rank, and whose turn they share."""
    spec = obj.get("spec") or {}
    precedence, method, errors = spec.get("matchingPrecedence", 0), spec.get("distinguisherMethod"), []
    if precedence <= 0:
        errors.append(invalid("spec.matchingPrecedence", precedence, "must be a positive value"))
    if precedence > _PRECEDENCE_MAX:
        text = f"must not be greater than {_PRECEDENCE_MAX}"
        errors.append(invalid("spec.matchingPrecedence", precedence, text))
    named = obj["metadata"]["name"]
    if named in _FIXED and spec != _FIXED[named]:
        shown = internal(spec, "flowcontrol.v1.FlowSchemaSpec")
        return [invalid("spec", shown, f"spec of '{named}' must equal the fixed value")]
    if precedence == 1 and named != "exempt":
        text = "only the schema named 'exempt' may have matchingPrecedence 1"
        errors.append(invalid("spec.matchingPrecedence", precedence, text))
    if method is not None and method.get("type") not in ("ByNamespace", "ByUser"):
        shown = internal(method, "flowcontrol.v1.FlowDistinguisherMethod")
        errors.append(not_supported("spec.distinguisherMethod.type", shown, ("ByNamespace", "ByUser")))
    name = (spec.get("priorityLevelConfiguration") or {}).get("name", "")
    if not name:
        errors.append(required("spec.priorityLevelConfiguration.name", "must reference a priority level"))
    else:
        path = "spec.priorityLevelConfiguration.name"
        errors += [invalid(path, name, text) for text in names.dns_subdomain(name)]
    for index, rule in enumerate(spec.get("rules") or ()):
        errors += _rule_errors(rule, f"spec.rules[{index}]")
    return errors


def flow_schema_update(new: Object, old: Object) -> list[FieldError]:
    return flow_schema(new)


def _rule_errors(rule: Mapping[str, Any], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if not rule.get("subjects"):
        errors.append(required(f"{path}.subjects", "subjects must contain at least one value"))
    for index, subject in enumerate(rule.get("subjects") or ()):
        errors += _subject_errors(subject, f"{path}.subjects[{index}]")
    if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
        text = "at least one of resourceRules and nonResourceRules has to be non-empty"
        errors.append(required(path, text))
    for index, each in enumerate(rule.get("resourceRules") or ()):
        errors += _resource_rule_errors(each, f"{path}.resourceRules[{index}]")
    for index, each in enumerate(rule.get("nonResourceRules") or ()):
        errors += _url_rule_errors(each, f"{path}.nonResourceRules[{index}]")
    return errors


def _subject_errors(subject: Mapping[str, Any], path: str) -> list[FieldError]:
    kind = subject.get("kind", "")
    if kind not in _SUBJECT_KINDS:
        return [not_supported(f"{path}.kind", kind, _SUBJECT_KINDS)]
    field = kind[0].lower() + kind[1:]
    detail = subject.get(field)
    if detail is None:
        return [required(f"{path}.{field}", f"{field} is required when subject kind is '{kind}'")]
    wanted = ("name", "namespace") if kind == "ServiceAccount" else ("name",)
    errors = [required(f"{path}.{field}.{name}") for name in wanted if not detail.get(name)]
    others = [name for name in ("user", "group", "serviceAccount") if name != field and subject.get(name) is not None]
    return errors + [
        forbidden(f"{path}.{name}", f"{name} is forbidden when subject kind is not '{name}'") for name in others
    ]


def _verb_errors(verbs: list[str], path: str) -> list[FieldError]:
    if not verbs:
        return [required(f"{path}.verbs", "verbs must contain at least one value")]
    if "*" in verbs:
        text = "if '*' is present, must not specify other verbs"
        return [invalid(f"{path}.verbs", verbs, text)] if len(verbs) > 1 else []
    return []


def _resource_rule_errors(rule: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = _verb_errors(rule.get("verbs") or [], path)
    for name, one, others in (("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")):
        listed = rule.get(name) or []
        if not listed:
            errors.append(required(f"{path}.{name}", f"resource rules must supply at least one {one}"))
        elif "*" in listed and len(listed) > 1:
            errors.append(invalid(f"{path}.{name}", listed, f"if '*' is present, must not specify other {others}"))
    spaces = rule.get("namespaces") or []
    if not spaces and not rule.get("clusterScope"):
        text = "resource rules that are not cluster scoped must supply at least one namespace"
        errors.append(required(f"{path}.namespaces", text))
    elif "*" in spaces and len(spaces) > 1:
        errors.append(invalid(f"{path}.namespaces", spaces, "if '*' is present, must not specify other namespaces"))
    return errors


def _url_rule_errors(rule: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = _verb_errors(rule.get("verbs") or [], path)
    urls = rule.get("nonResourceURLs") or []
    if not urls:
        text = "nonResourceURLs must contain at least one value"
        return [*errors, required(f"{path}.nonResourceURLs", text)]
    if "*" in urls:
        text = "if '*' is present, must not specify other non-resource URLs"
        return errors + ([invalid(f"{path}.nonResourceURLs", urls, text)] if len(urls) > 1 else [])
    for index, url in enumerate(urls):
        where = f"{path}.nonResourceURLs[{index}]"
        if not url.startswith("/"):
            errors.append(invalid(where, url, "must start with slash"))
        if " " in url:
            errors.append(invalid(where, url, "must not contain white-space"))
        if "//" in url:
            errors.append(invalid(where, url, "must not contain double slash"))
        if "*" in url[:-1] or (url.endswith("*") and not url.endswith("/*")):
            errors.append(invalid(where, url, "wildcard can only do suffix matching"))
    return errors


def priority_level(obj: Object) -> list[FieldError]:
    """Limited with queues or without, or exempt: but only the one of that name."""
    spec, errors = obj.get("spec") or {}, []
    kind, is_exempt = spec.get("type", ""), obj["metadata"]["name"] == "exempt"
    if (kind == "Exempt") != is_exempt and kind in ("Exempt", "Limited"):
        errors.append(invalid("spec.type", kind, "must be 'Exempt' if and only if `name` is 'exempt'"))
        return errors
    if kind == "Exempt":
        if spec.get("limited") is not None:
            errors.append(forbidden("spec.limited", "must be nil if the type is not Limited"))
    elif kind == "Limited":
        if spec.get("exempt") is not None:
            errors.append(forbidden("spec.exempt", "must be nil if the type is Limited"))
        if spec.get("limited") is None:
            errors.append(required("spec.limited", "must not be empty when type is Limited"))
        else:
            errors += _limited_errors(spec["limited"])
    else:
        errors.append(not_supported("spec.type", kind, ("Exempt", "Limited")))
    return errors


def priority_level_update(new: Object, old: Object) -> list[FieldError]:
    return priority_level(new)


def _limited_errors(limited: Mapping[str, Any]) -> list[FieldError]:
    path, errors = "spec.limited", []
    shares = limited.get("nominalConcurrencyShares", 0)
    if shares < 0:
        errors.append(invalid(f"{path}.nominalConcurrencyShares", shares, "must be a non-negative integer"))
    errors += _response_errors(limited.get("limitResponse") or {}, f"{path}.limitResponse")
    lends, borrows = limited.get("lendablePercent"), limited.get("borrowingLimitPercent")
    if lends is not None and not 0 <= lends <= 100:
        errors.append(invalid(f"{path}.lendablePercent", lends, "must be between 0 and 100, inclusive"))
    if borrows is not None and borrows < 0:
        text = "if specified, must be a non-negative integer"
        errors.append(invalid(f"{path}.borrowingLimitPercent", borrows, text))
    return errors


def _response_errors(response: Mapping[str, Any], path: str) -> list[FieldError]:
    kind, queuing = response.get("type", ""), response.get("queuing")
    if kind == "Reject":
        text = "must be nil if limited.limitResponse.type is not Limited"
        return [forbidden(f"{path}.queuing", text)] if queuing is not None else []
    if kind != "Queue":
        return [not_supported(f"{path}.type", kind, ("Queue", "Reject"))]
    if queuing is None:
        return [required(f"{path}.queuing", "must not be empty if limited.limitResponse.type is Limited")]
    errors = []
    queues, hand, length = (queuing.get(name, 0) for name in ("queues", "handSize", "queueLengthLimit"))
    where = f"{path}.queuing"
    if length <= 0:
        errors.append(invalid(f"{where}.queueLengthLimit", length, "must be positive"))
    if queues <= 0:
        errors.append(invalid(f"{where}.queues", queues, "must be positive"))
    elif queues > _QUEUES_MAX:
        errors.append(invalid(f"{where}.queues", queues, f"must not be greater than {_QUEUES_MAX}"))
    if hand <= 0:
        errors.append(invalid(f"{where}.handSize", hand, "must be positive"))
    elif hand > queues:
        errors.append(invalid(f"{where}.handSize", hand, f"should not be greater than queues ({queues})"))
    return errors


VALIDATORS = {
    (_GROUP, "flowschemas"): Validator(flow_schema, flow_schema_update),
    (_GROUP, "prioritylevelconfigurations"): Validator(priority_level, priority_level_update),
}
