"""Are priority classes, runtime classes and registered API services valid."""

from __future__ import annotations

from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, forbidden, invalid, not_supported, required
from tiphys.api.validation.metadata import label_errors
from tiphys.api.validation.scheduling import toleration_list_errors
from tiphys.api.validation.validator import Object, Validator

USER_PRIORITY_MAX = 1_000_000_000
SYSTEM_CLASSES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
_GROUP_PRIORITY_MAX, _VERSION_PRIORITY_MAX = 20000, 1000


def priority_class(obj: Object) -> list[FieldError]:
    """The system's own names have fixed values; others stay below them."""
    name, value = obj["metadata"]["name"], obj.get("value", 0)
    policy, errors = obj.get("preemptionPolicy"), []
    if name.startswith("system-"):
        why = _system_problem(name, value, is_default=bool(obj.get("globalDefault")))
        if why:
            text = f"priority class names with 'system-' prefix are reserved for system use only. error: {why}"
            errors.append(forbidden("metadata.name", text))
    elif value > USER_PRIORITY_MAX:
        text = f"maximum allowed value of a user defined priority is {USER_PRIORITY_MAX}"
        errors.append(forbidden("value", text))
    if policy is not None and policy not in ("PreemptLowerPriority", "Never"):
        errors.append(not_supported("preemptionPolicy", policy, ("PreemptLowerPriority", "Never"), is_set=False))
    return errors


def _system_problem(name: str, value: int, *, is_default: bool) -> str:
    wanted = SYSTEM_CLASSES.get(name)
    if wanted is None:
        return f"{name} is not a known system priority class"
    if value != wanted:
        return f"value of {name} PriorityClass must be {wanted}"
    return f"globalDefault of {name} PriorityClass must be false" if is_default else ""


def priority_class_update(new: Object, old: Object) -> list[FieldError]:
    """Pods carry the value: it cannot change under them."""
    errors = []
    if new.get("value", 0) != old.get("value", 0):
        errors.append(forbidden("value", "may not be changed in an update."))
    if new.get("preemptionPolicy") != old.get("preemptionPolicy"):
        errors.append(invalid("preemptionPolicy", new.get("preemptionPolicy"), "field is immutable"))
    return errors


def runtime_class(obj: Object) -> list[FieldError]:
    handler = obj.get("handler", "")
    errors = [invalid("handler", handler, text) for text in names.dns_label(handler)]
    scheduling = obj.get("scheduling") or {}
    errors += label_errors(scheduling.get("nodeSelector") or {}, "scheduling.nodeSelector")
    return errors + toleration_list_errors(scheduling.get("tolerations") or (), "scheduling.tolerations")


def runtime_class_update(new: Object, old: Object) -> list[FieldError]:
    if new.get("handler") == old.get("handler"):
        return []
    return [invalid("handler", new.get("handler", ""), "field is immutable")]


def api_service(obj: Object) -> list[FieldError]:
    """Its name, how it ranks among others, and who serves it."""
    spec = obj["spec"]
    group, version = spec.get("group", ""), spec.get("version", "")
    wanted, name, errors = f"{version}.{group}", obj["metadata"]["name"], []
    if name != wanted:
        text = f'must be `spec.version+"."+spec.group`: "{wanted}"'
        errors.append(invalid("metadata.name", name, text))
    if group:
        errors += [invalid("spec.group", group, text) for text in names.dns_subdomain(group)]
    elif version != "v1":
        errors.append(required("spec.group", "only v1 may have an empty group and it better be legacy kube"))
    errors += [invalid("spec.version", version, text) for text in names.dns_label_1035(version)]
    for field, maximum in (("groupPriorityMinimum", _GROUP_PRIORITY_MAX), ("versionPriority", _VERSION_PRIORITY_MAX)):
        value = spec.get(field, 0)
        if not 0 < value <= maximum:
            errors.append(invalid(f"spec.{field}", value, f"must be positive and less than {maximum}"))
    return errors + _server_errors(spec)


def _server_errors(spec: Object) -> list[FieldError]:
    service, skips, bundle = spec.get("service"), spec.get("insecureSkipTLSVerify"), spec.get("caBundle")
    errors = []
    if service is None:
        if bundle:
            errors.append(invalid("spec.caBundle", f"{len(bundle)} bytes", "local APIServices may not have a caBundle"))
        if skips:
            text = "local APIServices may not have insecureSkipTLSVerify"
            errors.append(invalid("spec.insecureSkipTLSVerify", True, text))
        return errors
    errors += [required(f"spec.service.{name}") for name in ("namespace", "name") if not service.get(name)]
    port = service.get("port", 0)
    errors += [invalid("spec.service.port", port, f"port is not valid: {text}") for text in names.port_number(port)]
    if skips and bundle:
        errors.append(invalid("spec.insecureSkipTLSVerify", True, "may not be true if caBundle is present"))
    return errors


def api_service_update(new: Object, old: Object) -> list[FieldError]:
    return api_service(new)


VALIDATORS = {
    ("scheduling.k8s.io", "priorityclasses"): Validator(priority_class, priority_class_update),
    ("node.k8s.io", "runtimeclasses"): Validator(runtime_class, runtime_class_update),
    ("apiregistration.k8s.io", "apiservices"): Validator(api_service, api_service_update, names.path_segment),
}
