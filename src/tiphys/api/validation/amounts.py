"""Requests and limits: of containers, of whole pods, and of the overhead of a runtime."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tiphys.api import quantity
from tiphys.api.defaults.pods import container_requests
from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, duplicate, forbidden, invalid, not_found, not_supported, required
from tiphys.api.validation.values import NOT_NEGATIVE, choice_errors

_STANDARD = frozenset(("cpu", "memory", "ephemeral-storage"))
_COMPUTE = frozenset(("cpu", "memory"))
_POD_LEVEL = ("cpu", "hugepages-", "memory")
_RESIZE_POLICIES = ("NotRequired", "RestartContainer")


def resource_errors(resources: Mapping[str, Any], path: str, claims: Collection[str]) -> list[FieldError]:
    """Requests, limits and claims of a container; `claims` are the names that the pod defines."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    errors: list[FieldError] = []
    for name, value in limits.items():
        errors += _amount_errors(name, value, f"{path}.limits[{name}]")
    for name, value in requests.items():
        errors += _amount_errors(name, value, f"{path}.requests[{name}]")
        errors += _excess_errors(name, value, limits, path)
    used = limits.keys() | requests.keys()
    if not used & _COMPUTE and any(name.startswith("hugepages-") for name in used):
        errors.append(forbidden(path, "HugePages require cpu or memory"))
    if resources.get("claims"):
        errors += _claim_errors(resources["claims"], f"{path}.claims", claims)
    return errors


def _excess_errors(name: str, value: str, limits: Mapping[str, str], path: str) -> list[FieldError]:
    """What is requested beyond its limit; what cannot be shared out twice is requested in full or not at all."""
    limit = limits.get(name)
    if limit is None:
        text = "Limit must be set for non overcommitable resources"
        return [] if _is_overcommitted(name) else [required(f"{path}.limits", text)]
    if value == limit:
        return []
    wanted, most = quantity.parse(value), quantity.parse(limit)
    if wanted != most and not _is_overcommitted(name):
        return [invalid(f"{path}.requests", value, f"must be equal to {name} limit of {limit}")]
    if wanted > most:
        return [invalid(f"{path}.requests", value, f"must be less than or equal to {name} limit of {limit}")]
    return []


def _is_native(name: str) -> bool:
    return "/" not in name or name.partition("/")[0].endswith("kubernetes.io")


def _is_overcommitted(name: str) -> bool:
    return _is_native(name) and not name.startswith("hugepages-")


def _amount_errors(name: str, value: str, path: str) -> list[FieldError]:
    if name in _STANDARD:
        return [invalid(path, value, NOT_NEGATIVE)] if value[0] == "-" else []
    errors = [invalid(path, name, problem) for problem in names.qualified_name(name)]
    if not errors and "/" not in name and not name.startswith("hugepages-"):
        errors.append(invalid(path, name, "must be a standard resource for containers"))
    elif not errors and not _is_native(name) and name.startswith("requests."):
        errors.append(invalid(path, name, "doesn't follow extended resource name standard"))
    if value[0] == "-":
        errors.append(invalid(path, value, NOT_NEGATIVE))
    if not _is_native(name) and quantity.parse(value) % 1:
        errors.append(invalid(path, value, "must be an integer"))
    return errors


def _claim_errors(claims: Sequence[Mapping[str, Any]], path: str, known: Collection[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[tuple[str, str]] = set()
    for index, claim in enumerate(claims):
        name, where = claim.get("name", ""), f"{path}[{index}]"
        if not name:
            errors.append(required(where))
            continue
        key = (name, claim.get("request", ""))
        if key in seen:
            errors.append(duplicate(where, "/".join(part for part in key if part)))
        seen.add(key)
        if name not in known:
            listed = ", ".join(sorted(known))
            text = (
                f"must be one of the names in pod.spec.resourceClaims: {listed}"
                if known
                else ("must be one of the names in pod.spec.resourceClaims which is empty")
            )
            errors.append(not_found(where, name, text))
    return errors


def resize_policy_errors(policies: Sequence[Mapping[str, Any]], path: str, restart_policy: str) -> list[FieldError]:
    """What becomes of a container whose resources change; one that never restarts cannot be restarted for it."""
    errors: list[FieldError] = []
    seen = set()
    for index, policy in enumerate(policies):
        name, restart = policy.get("resourceName", ""), policy.get("restartPolicy", "")
        if name in seen:
            errors.append(duplicate(f"{path}[{index}]", name))
        seen.add(name)
        errors += choice_errors(name, path, tuple(_COMPUTE))
        errors += choice_errors(restart, path, _RESIZE_POLICIES)
        if restart_policy == "Never" and restart != "NotRequired":
            text = "must be 'NotRequired' when pod `restartPolicy` is 'Never'"
            errors.append(invalid(path, restart, text))
    return errors


def pod_resource_errors(spec: Mapping[str, Any], path: str) -> list[FieldError]:
    """The resources of a whole pod, and whether its containers fit in them."""
    resources = spec["resources"]
    where = f"{path}.resources"
    errors: list[FieldError] = []
    for kind in ("limits", "requests"):
        errors += [
            not_supported(f"{where}.{kind}[{name}]", name, _POD_LEVEL)
            for name in resources.get(kind) or {}
            if name not in _COMPUTE and not name.startswith("hugepages-")
        ]
    if resources.get("claims"):
        errors.append(forbidden(f"{where}.claims", "may not be set for Resources at pod-level"))
    if errors:
        return errors
    errors += resource_errors(resources, where, ())
    for name, value in (resources.get("requests") or {}).items():
        total = container_requests(dict(spec), name)
        if quantity.parse(value) < quantity.parse(total):
            text = f"must be greater than or equal to aggregate container requests of {total}"
            errors.append(invalid(f"{where}.requests[{name}]", value, text))
    limits = resources.get("limits") or {}
    for group in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(group) or ()):
            for name, value in ((container.get("resources") or {}).get("limits") or {}).items():
                if name in limits and quantity.parse(value) > quantity.parse(limits[name]):
                    text = f"must be less than or equal to pod limits of {limits[name]}"
                    errors.append(invalid(f"{where}.{group}[{index}][{name}].limits", value, text))
    return errors
