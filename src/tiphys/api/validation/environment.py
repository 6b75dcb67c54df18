"""The environment of containers, and the fields and resources that it (and downward API volumes) may refer to."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, invalid, not_supported, required
from tiphys.api.validation.values import descending_path, name_errors

ENV_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP",
    "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
FILE_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
# What can be asked for at all, whether or not the asker may have it.
_FIELDS = frozenset(
    (*ENV_FIELDS, *FILE_FIELDS, "spec.host", "spec.restartPolicy", "spec.schedulerName", "status.phase")
)
_RESOURCES = tuple(
    f"{kind}.{name}" for kind in ("limits", "requests") for name in ("cpu", "ephemeral-storage", "memory")
)
_BYTE_DIVISORS = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_SUBSCRIPTED = re.compile(r"(.*)\['([^']*)'\]", re.DOTALL)
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")


def environment_errors(container: Mapping[str, Any], path: str) -> list[FieldError]:
    """`env` and `envFrom` of a container."""
    errors: list[FieldError] = []
    for index, variable in enumerate(container.get("env") or ()):
        where, name = f"{path}.env[{index}]", variable.get("name")
        errors += name_errors(name, f"{where}.name", names.variable_name) if name else [required(f"{where}.name")]
        if "valueFrom" in variable:
            errors += _value_from_errors(variable, f"{where}.valueFrom")
    for index, source in enumerate(container.get("envFrom") or ()):
        errors += _env_from_errors(source, f"{path}.envFrom[{index}]", f"{path}.envFrom")
    return errors


def _value_from_errors(variable: Mapping[str, Any], path: str) -> list[FieldError]:
    source = variable["valueFrom"]
    errors: list[FieldError] = []
    found = [name for name in _SOURCES if name in source]
    for name in found:
        where, reference = f"{path}.{name}", source[name]
        if name == "fieldRef":
            errors += field_reference_errors(reference, where, ENV_FIELDS)
        elif name == "resourceFieldRef":
            errors += resource_reference_errors(reference, where, is_file=False)
        elif name == "fileKeyRef":
            errors += _file_key_errors(reference, where)
        else:
            errors += _key_errors(reference, where)
    if not found:
        listed = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        errors.append(invalid(path, "", f"must specify one of: {listed}"))
    elif variable.get("value"):
        errors.append(invalid(path, "", "may not be specified when `value` is not empty"))
    elif len(found) > 1:
        errors.append(invalid(path, "", "may not have more than one field specified at a time"))
    return errors


def _key_errors(reference: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = [] if reference.get("name") else [required(f"{path}.name")]
    key = reference.get("key")
    return errors + (name_errors(key, f"{path}.key", names.config_key) if key else [required(f"{path}.key")])


def _file_key_errors(reference: Mapping[str, Any], path: str) -> list[FieldError]:
    errors = [required(f"{path}.{name}") for name in ("volumeName", "path", "key") if not reference.get(name)]
    if reference.get("path"):
        errors += descending_path(reference["path"], f"{path}.path")
    return errors


def _env_from_errors(source: Mapping[str, Any], path: str, all_path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if source.get("prefix"):
        errors += name_errors(source["prefix"], f"{path}.prefix", names.variable_name)
    found = [name for name in ("configMapRef", "secretRef") if name in source]
    errors += [required(f"{path}.{name}.name") for name in found if not source[name].get("name")]
    if not found:
        errors.append(invalid(all_path, "", "must specify one of: `configMapRef` or `secretRef`"))
    elif len(found) > 1:
        errors.append(invalid(all_path, "", "may not have more than one field specified at a time"))
    return errors


def field_reference_errors(reference: Mapping[str, Any], path: str, allowed: Collection[str]) -> list[FieldError]:
    """A field of the pod itself; `allowed` are those that the asker may have."""
    version, field = reference.get("apiVersion"), reference.get("fieldPath")
    if not version:
        return [required(f"{path}.apiVersion")]
    if not field:
        return [required(f"{path}.fieldPath")]
    found = _SUBSCRIPTED.fullmatch(field)
    problem = _unknown_field(version, field, found[1] if found else "")
    if problem:
        return [invalid(f"{path}.fieldPath", field, f"error converting fieldPath: {problem}")]
    if found:
        subscript = found[2].lower() if found[1] == "metadata.annotations" else found[2]
        return name_errors(subscript, path, names.qualified_name)
    field = "spec.nodeName" if field == "spec.host" else field
    return [] if field in allowed else [not_supported(f"{path}.fieldPath", field, list(allowed))]


def _unknown_field(version: str, field: str, subscripted: str) -> str:
    if version != "v1":
        return f"unsupported pod version: {version}"
    if subscripted:
        known = subscripted in ("metadata.annotations", "metadata.labels")
        return "" if known else f"field label does not support subscript: {field}"
    return "" if field in _FIELDS else f"field label not supported: {field}"


def resource_reference_errors(reference: Mapping[str, Any], path: str, *, is_file: bool) -> list[FieldError]:
    """A request or limit of a container; a file must say of which."""
    resource, divisor = reference.get("resource", ""), reference.get("divisor", "0")
    is_page = resource.startswith(("limits.hugepages-", "requests.hugepages-"))
    errors: list[FieldError] = []
    if is_file and not reference.get("containerName"):
        errors.append(required(f"{path}.containerName"))
    elif not resource:
        errors.append(required(f"{path}.resource"))
    elif resource not in _RESOURCES and not is_page:
        errors.append(not_supported(f"{path}.resource", resource, _RESOURCES))
    name = resource.partition(".")[2]
    if divisor == "0":
        return errors
    if name == "cpu" and divisor not in ("1m", "1"):
        text = "only divisor's values 1m and 1 are supported with the cpu resource"
        errors.append(invalid(f"{path}.divisor", resource, text))
    elif name != "cpu" and (name in ("memory", "ephemeral-storage") or is_page) and divisor not in _BYTE_DIVISORS:
        what = {"memory": "memory", "ephemeral-storage": "local ephemeral storage"}.get(name, "hugepages")
        text = f"only divisor's values {', '.join(_BYTE_DIVISORS)} are supported with the {what} resource"
        errors.append(invalid(f"{path}.divisor", resource, text))
    return errors
