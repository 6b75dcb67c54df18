"""Are Ingresses and their classes valid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, forbidden, invalid, not_supported, required
from tiphys.api.validation.services import ingress_errors
from tiphys.api.validation.validator import Object, Validator

_GROUP = "networking.k8s.io"
_CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_CONTROLLER_LENGTH_MAX = 250
_NOT_IN_PATHS = ("//", "/./", "/../", "%2f", "%2F")


def ingress(obj: Object) -> list[FieldError]:
    errors = _spec_errors(obj.get("spec") or {})
    said = (obj["metadata"].get("annotations") or {}).get(_CLASS_ANNOTATION)
    name = (obj.get("spec") or {}).get("ingressClassName")
    if said is not None and name is not None and said != name:
        text = "must match `ingressClassName` when both are specified"
        errors.append(invalid(f"annotations.{_CLASS_ANNOTATION}", said, text))
    return errors


def ingress_update(new: Object, old: Object) -> list[FieldError]:
    return _spec_errors(new.get("spec") or {})


def _spec_errors(spec: Mapping[str, Any]) -> list[FieldError]:
    errors: list[FieldError] = []
    rules, default = spec.get("rules") or (), spec.get("defaultBackend")
    if not rules and default is None:
        text = "either `defaultBackend` or `rules` must be specified"
        errors.append(invalid("spec", spec.get("rules"), text))
    if default is not None:
        errors += _backend_errors(default, "spec.defaultBackend")
    for index, rule in enumerate(rules):
        errors += _rule_errors(rule, f"spec.rules[{index}]")
    for index, each in enumerate(spec.get("tls") or ()):
        errors += _tls_errors(each, f"spec.tls[{index}]")
    name = spec.get("ingressClassName")
    if name is not None:
        errors += [invalid("spec.ingressClassName", name, text) for text in names.dns_subdomain(name)]
    return errors


def _host_errors(host: str, path: str) -> list[FieldError]:
    check = names.wildcard_subdomain if "*" in host else names.dns_subdomain
    return [invalid(path, host, text) for text in check(host)]


def _tls_errors(entry: Mapping[str, Any], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, host in enumerate(entry.get("hosts") or ()):
        errors += _host_errors(host, f"{path}.hosts[{index}]")
    secret = entry.get("secretName")
    if secret:
        errors += [invalid(f"{path}.secretName", secret, text) for text in names.dns_subdomain(secret)]
    return errors


def _rule_errors(rule: Mapping[str, Any], path: str) -> list[FieldError]:
    host, errors = rule.get("host", ""), []
    if host:
        if names.parsed_ip(host) is not None:
            errors.append(invalid(f"{path}.host", host, "must be a DNS name, not an IP address"))
        else:
            errors += _host_errors(host, f"{path}.host")
    http = rule.get("http")
    if http is None:
        return errors
    if not http.get("paths"):
        return [*errors, required(f"{path}.http.paths")]
    for index, each in enumerate(http["paths"]):
        errors += _path_errors(each, f"{path}.http.paths[{index}]")
    return errors


def _path_errors(entry: Mapping[str, Any], path: str) -> list[FieldError]:
    kind, said, errors = entry.get("pathType"), entry.get("path", ""), []
    if kind is None:
        return [required(f"{path}.pathType", "pathType must be specified")]
    if kind in ("Exact", "Prefix"):
        if not said.startswith("/"):
            errors.append(invalid(f"{path}.path", said, "must be an absolute path"))
        if said:
            errors += [
                invalid(f"{path}.path", said, f"must not contain '{each}'") for each in _NOT_IN_PATHS if each in said
            ]
            errors += [
                invalid(f"{path}.path", said, f"cannot end with '{each}'")
                for each in ("/..", "/.")
                if said.endswith(each)
            ]
    elif kind == "ImplementationSpecific":
        if said and not said.startswith("/"):
            errors.append(invalid(f"{path}.path", said, "must be an absolute path"))
    else:
        errors.append(not_supported(f"{path}.pathType", kind, _PATH_TYPES))
    return errors + _backend_errors(entry.get("backend") or {}, f"{path}.backend")


def _backend_errors(backend: Mapping[str, Any], path: str) -> list[FieldError]:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        return [invalid(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        return _resource_errors(resource, f"{path}.resource")
    if service is None:
        return [invalid(path, "", "resource or service backend is required")]
    name, errors = service.get("name", ""), []
    if not name:
        errors.append(required(f"{path}.service.name"))
    else:
        errors += [invalid(f"{path}.service.name", name, text) for text in names.dns_label(name)]
    return errors + _port_errors(service.get("port") or {}, path)


def _port_errors(port: Mapping[str, Any], path: str) -> list[FieldError]:
    name, number, where = port.get("name", ""), port.get("number", 0), f"{path}.service.port"
    if name and number:
        return [invalid(path, "", "cannot set both port name & port number")]
    if name:
        return [invalid(f"{where}.name", name, text) for text in names.port_name(name)]
    if number:
        return [invalid(f"{where}.number", number, text) for text in names.port_number(number)]
    return [required(path, "port name or number is required")]


def _resource_errors(reference: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = []
    group = reference.get("apiGroup")
    if group:
        errors += [invalid(f"{path}.apiGroup", group, text) for text in names.dns_subdomain(group)]
    for name in ("kind", "name"):
        said = reference.get(name, "")
        if not said:
            errors.append(required(f"{path}.{name}"))
        else:
            errors += [invalid(f"{path}.{name}", said, text) for text in names.path_segment(said)]
    return errors


def ingress_status(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    found = ((new.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    for index, each in enumerate(found):
        errors += ingress_errors(each, f"status.loadBalancer.ingress[{index}]")
    return errors


def ingress_class(obj: Object) -> list[FieldError]:
    """Who serves it, and with which parameters."""
    spec = obj.get("spec") or {}
    name, errors = spec.get("controller", ""), []
    if len(name) > _CONTROLLER_LENGTH_MAX:
        text = f"may not be more than {_CONTROLLER_LENGTH_MAX} bytes"
        errors.append(FieldError("spec.controller", "FieldValueTooLong", f"Too long: {text}"))
    errors += _controller_errors(name)
    parameters = spec.get("parameters")
    return errors + (_parameters_errors(parameters) if parameters is not None else [])


def _controller_errors(name: str) -> list[FieldError]:
    if not name:
        return [required("spec.controller")]
    prefix, slash, rest = name.partition("/")
    if not slash or not prefix or not rest:
        return [invalid("spec.controller", name, 'must be a domain-prefixed path (such as "acme.io/foo")')]
    return [invalid("spec.controller", prefix, text) for text in names.dns_subdomain(prefix)]


def _parameters_errors(parameters: Mapping[str, Any]) -> list[FieldError]:
    path = "spec.parameters"
    errors = _resource_errors(parameters, path)
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if scope is None:
        errors.append(required(f"{path}.scope"))
    elif scope not in ("Cluster", "Namespace"):
        errors.append(not_supported(f"{path}.scope", scope, ("Cluster", "Namespace")))
    elif scope == "Namespace" and namespace is None:
        errors.append(required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'"))
    elif scope == "Namespace":
        errors += [invalid(f"{path}.namespace", namespace, text) for text in names.dns_label(namespace or "")]
    elif namespace is not None:
        errors.append(forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'"))
    return errors


def ingress_class_update(new: Object, old: Object) -> list[FieldError]:
    """The parameters may change, who serves may not."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    errors = []
    if spec.get("controller") != before.get("controller"):
        errors.append(invalid("spec.controller", spec.get("controller", ""), "field is immutable"))
    return errors + ingress_class(new)


VALIDATORS = {
    (_GROUP, "ingresses"): Validator(ingress, ingress_update, subresources={"status": ingress_status}),
    (_GROUP, "ingressclasses"): Validator(ingress_class, ingress_class_update),
}
