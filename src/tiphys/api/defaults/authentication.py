"""Defaults of what is asked about tokens."""

from __future__ import annotations

from typing import Any

TOKEN_SECONDS = 3600


def _token_request(obj: dict[str, Any]) -> None:
    obj.setdefault("spec", {}).setdefault("expirationSeconds", TOKEN_SECONDS)


DEFAULTS = {("", "serviceaccounts/token"): _token_request}
