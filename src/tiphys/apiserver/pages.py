"""
Paths that are no stored resource: which page answers which path, and the refusals that they share.

A page is asked in turn and says None when a path is not its own. It answers with bytes that were made once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

from tiphys.api import errors, resources
from tiphys.api.resources import Resource
from tiphys.apiserver.call import Call, Page
from tiphys.wire.messages import Response

TEXT = "text/plain; charset=utf-8"
Served = Callable[[], Sequence[Resource]]


def builtin(checks: Mapping[str, Callable[[], bool]] | None = None, served: Served = resources.builtin) -> list[Page]:
    """Every page. `checks` are health checks by name (true: well); `served` gives the resources that are served now."""
    from tiphys.apiserver.discovery import Discovery
    from tiphys.apiserver.health import Health, metrics_page, paths_page, version_page
    from tiphys.apiserver.openapi import OpenApi

    health = Health(checks or {})
    return [Discovery(served).page, health.page, version_page, metrics_page, OpenApi(served).page, paths_page]


def text(body: str, status: int = 200) -> Response:
    """Plain text, as health checks answer."""
    headers = (("content-type", TEXT), ("cache-control", "no-cache, private"), ("x-content-type-options", "nosniff"))
    return Response(status, headers, body.encode())


def only_get(call: Call) -> None:
    """Raises 405 for every other method."""
    if call.request.method != "GET":
        text = "the server does not allow this method on the requested resource"
        raise errors.failure(405, "MethodNotAllowed", text, details={})


def etag_of(body: bytes) -> str:
    return f'"{hashlib.sha512(body).hexdigest().upper()}"'


def unchanged(call: Call, etag: str) -> Response | None:
    """304 for who holds this very version."""
    if etag not in call.request.headers.get("if-none-match", ""):
        return None
    return Response(304, (("etag", etag),))


def groups_of(served: Iterable[Resource]) -> dict[str, dict[str, list[Resource]]]:
    """Resources by group and version, in the order they are served in."""
    groups: dict[str, dict[str, list[Resource]]] = {}
    for resource in served:
        groups.setdefault(resource.group, {}).setdefault(resource.version, []).append(resource)
    return groups
