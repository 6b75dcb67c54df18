"""
Where a request carries its token: in the Authorization header, or, since browsers cannot set that for a WebSocket, in
one of the subprotocols that it offers, which is then never passed on.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from tiphys.api import errors

PROTOCOLS = "sec-websocket-protocol"
_SCHEME = "bearer"
_PREFIX = "base64url.bearer.authorization.k8s.io."


def token_of(headers: Mapping[str, str]) -> str:
    """The token; empty if there is none. 401 for a subprotocol that should carry one and does not."""
    found = bearer(headers.get("authorization", ""))
    if found or "websocket" not in headers.get("upgrade", "").lower():
        return found
    offered = _listed(headers)
    carriers = [protocol for protocol in offered if protocol.startswith(_PREFIX)]
    if not carriers:
        return ""
    # One has to be left that can be agreed on.
    if len(carriers) > 1 or len(offered) == 1:
        raise errors.unauthorized()
    return _decoded(carriers[0].removeprefix(_PREFIX))


def bearer(header: str) -> str:
    """The token of an Authorization header; empty if there is none in it."""
    if header.startswith("Bearer ") and header.count(" ") == 1:  # as nearly everybody writes it
        return header[7:]
    parts = header.strip().split(" ", 2)
    return parts[1] if len(parts) > 1 and parts[0].lower() == _SCHEME else ""


def without_token(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers without the subprotocol that carries a token."""
    if PROTOCOLS not in headers or _PREFIX not in headers[PROTOCOLS]:
        return dict(headers)
    kept = [protocol for protocol in _listed(headers) if not protocol.startswith(_PREFIX)]
    return {**headers, PROTOCOLS: ", ".join(kept)}


def _listed(headers: Mapping[str, str]) -> list[str]:
    return [item.strip() for item in headers.get(PROTOCOLS, "").split(",") if item.strip()]


def _decoded(text: str) -> str:
    """Base64 of URLs without padding."""
    try:
        padded = text + "=" * (-len(text) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise errors.unauthorized() from None
