"""The pages by which others verify our tokens: `/openid/v1/jwks` and `/.well-known/openid-configuration`."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from tiphys.apiserver.authn.accounts import AccountTokens
from tiphys.apiserver.call import Call, Page
from tiphys.wire.messages import Response

JWKS_PATH = "/openid/v1/jwks"
CONFIGURATION_PATH = "/.well-known/openid-configuration"
_CACHED = ("cache-control", "public, max-age=3600")


def page(tokens: AccountTokens, base: Callable[[], str]) -> Page:
    """The two pages; `base` is the URL that others reach this server by."""

    async def answer(call: Call) -> Response | None:
        if call.path not in (JWKS_PATH, CONFIGURATION_PATH) or call.request.method != "GET":
            return None
        if call.path == JWKS_PATH:
            return _json(tokens.keys.jwks(), "application/jwk-set+json")
        return _json(tokens.keys.discovery(tokens.issuer, base() + JWKS_PATH), "application/json")

    return answer


def _json(document: object, media_type: str) -> Response:
    return Response(200, (("content-type", media_type), _CACHED), orjson.dumps(document))
