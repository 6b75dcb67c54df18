"""Are webhooks valid: their rules, and where they are asked. Expressions are compiled by admission."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, duplicate, invalid, not_supported, required
from tiphys.api.validation.validator import Object, Validator
from tiphys.api.validation.values import selector_errors

_GROUP = "admissionregistration.k8s.io"
OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
REVIEW_VERSIONS = ("v1", "v1beta1")
_SCOPES = ("*", "Cluster", "Namespaced")
_EFFECTS = ("None", "NoneOnDryRun")
_URL_FORM = "desired format: https://host[/path]"


def webhooks(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    mutates = obj.get("kind") == "MutatingWebhookConfiguration"
    for index, hook in enumerate(obj.get("webhooks") or ()):
        path = f"webhooks[{index}]"
        errors += _hook_errors(hook, path, mutates=mutates) + _version_errors(hook, path)
        if hook.get("name", "") in seen:
            errors.append(duplicate(f"{path}.name", hook["name"]))
        seen.add(hook.get("name", ""))
    return errors


def webhooks_update(new: Object, old: Object) -> list[FieldError]:
    return webhooks(new)


def _version_errors(hook: Mapping[str, Any], path: str) -> list[FieldError]:
    where, said = f"{path}.admissionReviewVersions", hook.get("admissionReviewVersions") or []
    listed = ", ".join(REVIEW_VERSIONS)
    if not said:
        return [required(where, f"must specify one of {listed}")]
    errors = [
        invalid(f"{where}[{index}]", each, "duplicate version")
        for index, each in enumerate(said)
        if each in said[:index]
    ]
    for index, each in enumerate(said):
        errors += [invalid(f"{where}[{index}]", each, text) for text in names.dns_label_1035(each)]
    if not set(said) & set(REVIEW_VERSIONS):
        errors.append(invalid(where, said, f"must include at least one of {listed}"))
    return errors


def _hook_errors(hook: Mapping[str, Any], path: str, *, mutates: bool) -> list[FieldError]:
    errors = _name_errors(hook.get("name", ""), f"{path}.name")
    for index, rule in enumerate(hook.get("rules") or ()):
        errors += rule_errors(rule, f"{path}.rules[{index}]")
    for name, allowed in (("failurePolicy", ("Fail", "Ignore")), ("matchPolicy", ("Equivalent", "Exact"))):
        errors += _choice_errors(hook.get(name), f"{path}.{name}", allowed)
    effects = hook.get("sideEffects")
    if effects is None:
        errors.append(required(f"{path}.sideEffects", f"must specify one of {', '.join(_EFFECTS)}"))
    errors += _choice_errors(effects, f"{path}.sideEffects", _EFFECTS)
    seconds = hook.get("timeoutSeconds")
    if seconds is not None and not 1 <= seconds <= 30:
        text = "the timeout value must be between 1 and 30 seconds"
        errors.append(invalid(f"{path}.timeoutSeconds", seconds, text))
    for name in ("namespaceSelector", "objectSelector"):
        errors += selector_errors(hook.get(name), f"{path}.{name}")
    if mutates:
        errors += _choice_errors(hook.get("reinvocationPolicy"), f"{path}.reinvocationPolicy", ("IfNeeded", "Never"))
    errors += _client_errors(hook.get("clientConfig") or {}, f"{path}.clientConfig")
    return errors + match_condition_errors(hook.get("matchConditions") or (), f"{path}.matchConditions")


def _choice_errors(value: str | None, path: str, allowed: Sequence[str]) -> list[FieldError]:
    return [] if value is None or value in allowed else [not_supported(path, value, allowed)]


def _name_errors(name: str, path: str) -> list[FieldError]:
    if not name:
        return [required(path)]
    problems = names.dns_subdomain(name)
    if problems:
        return [invalid(path, name, text) for text in problems]
    if name.count(".") < 2:
        return [invalid(path, name, "should be a domain with at least three segments separated by dots")]
    return []


def rule_errors(rule: Mapping[str, Any], path: str, operations: Sequence[str] = OPERATIONS) -> list[FieldError]:
    """What a webhook or policy is asked about."""
    said = rule.get("operations") or []
    errors = [] if said else [required(f"{path}.operations")]
    errors += _alone_errors(said, f"{path}.operations", "operations")
    errors += [
        not_supported(f"{path}.operations[{index}]", each, operations)
        for index, each in enumerate(said)
        if each not in operations
    ]
    for name, what in (("apiGroups", "API groups"), ("apiVersions", "API versions")):
        listed = rule.get(name) or []
        if not listed:
            errors.append(required(f"{path}.{name}"))
        errors += _alone_errors(listed, f"{path}.{name}", what)
    errors += [
        required(f"{path}.apiVersions[{index}]") for index, each in enumerate(rule.get("apiVersions") or ()) if not each
    ]
    errors += _resource_errors(rule.get("resources") or [], f"{path}.resources")
    return errors + _choice_errors(rule.get("scope"), f"{path}.scope", _SCOPES)


def _alone_errors(listed: list[str], path: str, what: str) -> list[FieldError]:
    if "*" not in listed or len(listed) < 2:
        return []
    return [invalid(path, listed, f"if '*' is present, must not specify other {what}")]


def _resource_errors(resources: list[str], path: str) -> list[FieldError]:
    if not resources:
        return [required(path)]
    errors: list[FieldError] = []
    whole: set[str] = set()
    subresources: set[str] = set()
    for index, each in enumerate(resources):
        where = f"{path}[{index}]"
        if not each:
            errors.append(required(where))
            continue
        resource, slash, subresource = each.partition("/")
        if slash and f"{resource}/*" in whole:
            errors.append(invalid(where, each, f"if '{resource}/*' is present, must not specify {each}"))
        if slash and f"*/{subresource}" in subresources:
            errors.append(invalid(where, each, f"if '*/{subresource}' is present, must not specify {each}"))
        if slash and subresource == "*":
            whole.add(each)
        if slash and resource == "*":
            subresources.add(each)
    if len(resources) > 1 and "*/*" in resources:
        errors.append(invalid(path, resources, "if '*/*' is present, must not specify other resources"))
    if "*" in resources and any("/" not in each for each in resources if each != "*"):
        text = "if '*' is present, must not specify other resources without subresources"
        errors.append(invalid(path, resources, text))
    return errors


def _client_errors(client: Mapping[str, Any], path: str) -> list[FieldError]:
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        return [required(path, "exactly one of url or service is required")]
    return _url_errors(url, f"{path}.url") if url is not None else _service_errors(service or {}, f"{path}.service")


def _url_errors(url: str, path: str) -> list[FieldError]:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        return [required(path, f"url must be a valid URL: {error}; {_URL_FORM}")]
    errors = []
    if parts.scheme != "https":
        text = f"'https' is the only allowed URL scheme; {_URL_FORM}"
        errors.append(invalid(path, parts.scheme, text))
    if not parts.netloc:
        errors.append(invalid(path, parts.netloc, f"host must be specified; {_URL_FORM}"))
    if "@" in parts.netloc:
        text = "user information is not permitted in the URL"
        errors.append(invalid(path, parts.netloc.partition("@")[0], text))
    if parts.fragment:
        errors.append(invalid(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        errors.append(invalid(path, parts.query, "query parameters are not permitted in the URL"))
    return errors


def _service_errors(service: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = [] if service.get("name") else [required(f"{path}.name")]
    if not service.get("namespace"):
        # Kubernetes blames the name.
        errors.append(required(f"{path}.name"))
    port = service.get("port", 0)
    errors += [invalid(f"{path}.port", port, f"port is not valid: {text}") for text in names.port_number(port)]
    said = service.get("path")
    if said is None:
        return errors
    where = f"{path}.path"
    if not said.startswith("/"):
        return [*errors, invalid(where, said, "must start with a '/'")]
    if said == "/":
        return errors
    steps = said.removeprefix("/").removesuffix("/").split("/")
    for index, step in enumerate(steps):
        if not step:
            errors.append(invalid(where, said, f"segment[{index}] may not be empty"))
            continue
        errors += [invalid(where, said, f"segment[{index}]: {text}") for text in names.dns_subdomain(step)]
    return errors


def match_condition_errors(conditions: Sequence[Mapping[str, Any]], path: str) -> list[FieldError]:
    """Names and presence; what the expressions mean is admission's."""
    if len(conditions) > 64:
        return [FieldError(path, "FieldValueTooMany", f"Too many: {len(conditions)}: must have at most 64 items")]
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, each in enumerate(conditions):
        where, name = f"{path}[{index}]", each.get("name", "")
        if not each.get("expression", "").strip():
            errors.append(required(f"{where}.expression"))
        if not name:
            errors.append(required(f"{where}.name"))
            continue
        errors += [invalid(f"{where}.name", name, text) for text in names.qualified_name(name)]
        if name in seen:
            errors.append(duplicate(f"{where}.name", name))
        seen.add(name)
    return errors


VALIDATORS = {
    (_GROUP, "validatingwebhookconfigurations"): Validator(webhooks, webhooks_update),
    (_GROUP, "mutatingwebhookconfigurations"): Validator(webhooks, webhooks_update),
}
