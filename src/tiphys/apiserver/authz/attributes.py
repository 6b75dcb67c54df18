"""What is asked of an authorizer, and how a refusal reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from tiphys.api import errors
from tiphys.api.errors import StatusError
from tiphys.api.remembered import remember_short
from tiphys.apiserver.call import Call
from tiphys.wire.messages import Identity

_API_ROOTS = frozenset(("api", "apis"))
_COLLECTION_VERBS = {"get": "list", "delete": "deletecollection"}
_METHOD_VERBS = {"post": "create", "put": "update", "patch": "patch", "delete": "delete", "get": "get", "head": "get"}


@dataclass(frozen=True, slots=True)
class Access:
    """
    One access. With `is_resource` the resource fields are meant, otherwise `path`.

    `name` is empty for a whole collection. `fields` and `labels` are what selectors pin down; RBAC looks at neither.
    """

    user: Identity
    verb: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    is_resource: bool = True
    fields: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def full_resource(self) -> str:
        """`pods/log`"""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def of_call(call: Call) -> Access:
    """What a call asks for. Paths inside /api and /apis that name nothing served are resource requests too."""
    resource = call.resource
    if resource is None:
        return _of_path(call)
    name, _, subresource = resource.name.partition("/")
    return Access(
        call.user, call.verb, resource.group, resource.version, name, subresource, call.namespace, call.name,
        call.path, fields=_selected(call, "fieldSelector"), labels=_selected(call, "labelSelector"),
    )  # fmt: skip


def _selected(call: Call, parameter: str) -> dict[str, str]:
    return equal_requirements(call.parameter(parameter)) if parameter in call.query else {}


def equal_requirements(selector: str) -> dict[str, str]:
    """The `key=value` parts of a selector, for the node authorizer."""
    found = {}
    for part in selector.split(","):
        key, separator, value = part.partition("=")
        if separator and not key.endswith("!"):
            found[key] = value.removeprefix("=")
    return found


def _of_path(call: Call) -> Access:
    """Kubernetes' RequestInfo of a path that no resource is served at."""
    root, *parts = unquote(call.path).strip("/").split("/")
    plain = Access(call.user, call.verb, path=call.path, is_resource=False)
    if root not in _API_ROOTS or len(parts) < (2 if root == "api" else 3):
        return plain
    group = "" if root == "api" else parts.pop(0)
    version, *rest = parts
    verb = _METHOD_VERBS.get(call.verb, "")
    if rest[0] in ("watch", "proxy") and len(rest) > 1:
        verb, rest = rest[0], rest[1:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in ("status", "finalize"):
            rest = rest[2:]
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if not name:
        verb = _COLLECTION_VERBS.get(verb, verb)
        if verb == "list" and call.parameter("watch") not in ("", "0", "false"):
            verb = "watch"
    return Access(call.user, verb, group, version, rest[0], subresource, namespace, name, call.path)


@remember_short(4096)
def quoted(text: str) -> str:
    """As Go's %q prints it."""
    return json.dumps(text, ensure_ascii=False)


def forbidden(access: Access, reason: str = "") -> StatusError:
    """The 403 of a refused access."""
    text = _refusal(access) + (f": {reason}" if reason else "")
    if not access.is_resource:
        return errors.failure(403, "Forbidden", f"forbidden: {text}", details={})
    return errors.forbidden(access.resource, access.group, access.name, text)


def _refusal(access: Access) -> str:
    user = quoted(access.user.name)
    if not access.is_resource:
        return f"User {user} cannot {access.verb} path {quoted(access.path)}"
    where = f"in the namespace {quoted(access.namespace)}" if access.namespace else "at the cluster scope"
    what = f"resource {quoted(access.full_resource)} in API group {quoted(access.group)}"
    return f"User {user} cannot {access.verb} {what} {where}"
