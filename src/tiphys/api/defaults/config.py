"""Defaults of Secrets."""

from __future__ import annotations

import base64
from typing import Any

Object = dict[str, Any]


def secret(obj: Object) -> None:
    """`stringData` is a way of writing `data`; a Secret without a type is opaque."""
    plain = obj.pop("stringData", None)
    if plain:
        data = obj.setdefault("data", {})
        for key, value in plain.items():
            data[key] = base64.b64encode(value.encode()).decode()
    if not obj.get("type"):
        obj["type"] = "Opaque"


DEFAULTS = {("", "secrets"): secret}
