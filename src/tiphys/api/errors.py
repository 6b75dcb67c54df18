"""
API failures as Kubernetes `Status` objects.

    StatusError              any failure that a client is told about; `.status` is the Status object
    └── made by the functions below, one per reason, with Kubernetes' own texts

The one way to fail a request, in the API server and on the client's side of the wire alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Object = dict[str, Any]


class StatusError(Exception):
    """A request failed; `status` is the Kubernetes Status to answer with (or that was answered)."""

    def __init__(self, status: Object) -> None:
        super().__init__(status.get("message", ""))
        self.status = status

    @property
    def code(self) -> int:
        return int(self.status.get("code", 500))

    @property
    def reason(self) -> str:
        return str(self.status.get("reason", ""))


def failure(
    code: int,
    reason: str,
    message: str,
    *,
    details: Object | None = None,
) -> StatusError:
    """A Status of kind Failure; `details` is name, group, kind, uid, causes, retryAfterSeconds."""
    status: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
    if reason:
        status["reason"] = reason
    if details is not None:
        status["details"] = details
    status["code"] = code
    return StatusError(status)


def _named(name: str, group: str, resource: str) -> Object:
    details: Object = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if resource:
        details["kind"] = resource
    return details


def qualified(resource: str, group: str) -> str:
    """`deployments.apps`, or `pods` for the core group."""
    return f"{resource}.{group}" if group else resource


def not_found(resource: str, group: str, name: str) -> StatusError:
    text = f'{qualified(resource, group)} "{name}" not found'
    return failure(404, "NotFound", text, details=_named(name, group, resource))


def already_exists(resource: str, group: str, name: str) -> StatusError:
    text = f'{qualified(resource, group)} "{name}" already exists'
    return failure(409, "AlreadyExists", text, details=_named(name, group, resource))


def conflict(resource: str, group: str, name: str, why: str) -> StatusError:
    text = f'Operation cannot be fulfilled on {qualified(resource, group)} "{name}": {why}'
    return failure(409, "Conflict", text, details=_named(name, group, resource))


def forbidden(resource: str, group: str, name: str, why: str) -> StatusError:
    """`why` is the whole reason, such as `User "x" cannot get resource …`."""
    subject = (
        f'{qualified(resource, group)} "{name}" is forbidden: '
        if name
        else f"{qualified(resource, group)} is forbidden: "
    )
    return failure(403, "Forbidden", subject + why, details=_named(name, group, resource))


def bad_request(message: str) -> StatusError:
    return failure(400, "BadRequest", message)


def unauthorized() -> StatusError:
    return failure(401, "Unauthorized", "Unauthorized")


def method_not_supported(resource: str, group: str, action: str) -> StatusError:
    text = f'{action} is not supported on resources of kind "{qualified(resource, group)}"'
    return failure(405, "MethodNotAllowed", text, details=_named("", group, resource))


def expired(message: str) -> StatusError:
    return failure(410, "Expired", message)


def too_large(message: str) -> StatusError:
    return failure(413, "RequestEntityTooLarge", message)


def too_many_requests(message: str, retry_after_seconds: int) -> StatusError:
    return failure(429, "TooManyRequests", message, details={"retryAfterSeconds": retry_after_seconds})


def invalid(kind: str, group: str, name: str, errors: Sequence[str], causes: Sequence[Object]) -> StatusError:
    """
    422: `errors` are the rendered field errors, `causes` the matching {reason, message, field} records.

    The text is Kubernetes': `Pod "x" is invalid: [a, b]`, without brackets for one error.
    """
    text = errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"
    message = f'{qualified(kind, group)} "{name}" is invalid' + (f": {text}" if errors else "")
    details = _named(name, group, kind)
    if causes:
        details["causes"] = list(causes)
    return failure(422, "Invalid", message, details=details)


def internal(message: str) -> StatusError:
    text = f"Internal error occurred: {message}"
    return failure(500, "InternalError", text, details={"causes": [{"message": message}]})


def unavailable(message: str) -> StatusError:
    return failure(503, "ServiceUnavailable", message)


def timeout(message: str) -> StatusError:
    return failure(504, "Timeout", message)
