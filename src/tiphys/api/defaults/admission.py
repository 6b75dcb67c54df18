"""Defaults of webhooks and admission policies."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

_GROUP = "admissionregistration.k8s.io"
TIMEOUT_SECONDS = 10


def webhooks(obj: Object) -> None:
    """A webhook that cannot be asked refuses, sees every equivalent version, and has ten seconds."""
    for hook in obj.get("webhooks") or ():
        hook.setdefault("failurePolicy", "Fail")
        hook.setdefault("matchPolicy", "Equivalent")
        hook.setdefault("namespaceSelector", {})
        hook.setdefault("objectSelector", {})
        hook.setdefault("timeoutSeconds", TIMEOUT_SECONDS)
        if obj.get("kind") == "MutatingWebhookConfiguration":
            hook.setdefault("reinvocationPolicy", "Never")
        service = (hook.get("clientConfig") or {}).get("service")
        if service is not None:
            service.setdefault("port", 443)
        _scopes(hook.get("rules"))


def _scopes(rules: list[Object] | None) -> None:
    for rule in rules or ():
        rule.setdefault("scope", "*")


def policy(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("failurePolicy", "Fail")
    _match(spec.get("matchConstraints"))


def binding(obj: Object) -> None:
    _match((obj.get("spec") or {}).get("matchResources"))


def _match(match: Object | None) -> None:
    if match is None:
        return
    match.setdefault("namespaceSelector", {})
    match.setdefault("objectSelector", {})
    match.setdefault("matchPolicy", "Equivalent")
    _scopes(match.get("resourceRules"))
    _scopes(match.get("excludeResourceRules"))


DEFAULTS = {
    (_GROUP, "validatingwebhookconfigurations"): webhooks,
    (_GROUP, "mutatingwebhookconfigurations"): webhooks,
    (_GROUP, "validatingadmissionpolicies"): policy,
    (_GROUP, "validatingadmissionpolicybindings"): binding,
    (_GROUP, "mutatingadmissionpolicies"): policy,
    (_GROUP, "mutatingadmissionpolicybindings"): binding,
}
