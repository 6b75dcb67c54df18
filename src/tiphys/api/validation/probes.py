"""Probes and lifecycle hooks of containers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, forbidden, invalid, required
from tiphys.api.validation.values import choice_errors, name_errors, negative_errors, port_errors

_TIMES = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_SCHEMES = ("HTTP", "HTTPS")
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def probe_errors(container: Mapping[str, Any], path: str, grace_seconds: int) -> list[FieldError]:
    """All probes of a container; only a readiness probe may want several successes, and it ends nothing."""
    errors: list[FieldError] = []
    for name in PROBES:
        if name not in container:
            continue
        probe, where = container[name], f"{path}.{name}"
        errors += handler_errors(probe, where, grace_seconds)
        errors += negative_errors(probe, where + ".", *_TIMES)
        end = probe.get("terminationGracePeriodSeconds")
        if end is not None and end <= 0:
            errors.append(invalid(f"{where}.terminationGracePeriodSeconds", end, "must be greater than 0"))
        if name == "readinessProbe":
            if end is not None:
                text = "must not be set for readinessProbes"
                errors.append(invalid(f"{where}.terminationGracePeriodSeconds", end, text))
        elif probe.get("successThreshold") != 1:
            errors.append(invalid(f"{where}.successThreshold", probe.get("successThreshold", 0), "must be 1"))
    return errors


def lifecycle_errors(lifecycle: Mapping[str, Any], path: str, grace_seconds: int) -> list[FieldError]:
    """The hooks of a container."""
    errors: list[FieldError] = []
    for name in ("postStart", "preStop"):
        if name in lifecycle:
            errors += handler_errors(lifecycle[name], f"{path}.{name}", grace_seconds)
    return errors


def handler_errors(handler: Mapping[str, Any], path: str, grace_seconds: int) -> list[FieldError]:
    """What a probe or hook does, which is exactly one thing."""
    errors: list[FieldError] = []
    found = False
    for name, check in _HANDLERS.items():
        if name not in handler:
            continue
        if found:
            errors.append(forbidden(f"{path}.{name}", "may not specify more than 1 handler type"))
        else:
            found = True
            errors += check(handler[name], f"{path}.{name}", grace_seconds)
    return errors if found else [*errors, required(path, "must specify a handler type")]


def _exec_errors(action: Mapping[str, Any], path: str, grace_seconds: int) -> list[FieldError]:
    return [] if action.get("command") else [required(f"{path}.command")]


def _http_errors(action: Mapping[str, Any], path: str, grace_seconds: int) -> list[FieldError]:
    errors = [] if action.get("path") else [required(f"{path}.path")]
    errors += port_errors(action.get("port", 0), f"{path}.port")
    scheme = action.get("scheme", "")
    if scheme not in _SCHEMES:
        errors += choice_errors(scheme or " ", f"{path}.scheme", _SCHEMES)
    for header in action.get("httpHeaders") or ():
        errors += name_errors(header.get("name", ""), f"{path}.httpHeaders", names.header_name)
    return errors


def _port_errors(action: Mapping[str, Any], path: str, grace_seconds: int) -> list[FieldError]:
    return port_errors(action.get("port", 0), f"{path}.port")


def _sleep_errors(action: Mapping[str, Any], path: str, grace_seconds: int) -> list[FieldError]:
    seconds = action.get("seconds", 0)
    if 0 <= seconds <= grace_seconds:
        return []
    text = f"must be non-negative and less than terminationGracePeriodSeconds ({grace_seconds})"
    return [invalid(path, seconds, text)]


_HANDLERS: Mapping[str, Callable[[Mapping[str, Any], str, int], list[FieldError]]] = {
    "exec": _exec_errors,
    "httpGet": _http_errors,
    "tcpSocket": _port_errors,
    "grpc": _port_errors,
    "sleep": _sleep_errors,
}
