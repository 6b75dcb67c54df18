"""The cells of what nodes and pods use, as metrics-server shows them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.api import quantity
from tiphys.apiserver.tables.words import Object


def node(obj: Object, now: float) -> list[Any]:
    return _cells(obj, [obj["usage"]])


def pod(obj: Object, now: float) -> list[Any]:
    """All containers together."""
    return _cells(obj, [container["usage"] for container in obj["containers"]])


def _cells(obj: Object, usages: Iterable[Object]) -> list[Any]:
    used = list(usages)
    cpu = sum(int(one["cpu"].removesuffix("n")) for one in used)
    memory = sum(quantity.value(one["memory"]) for one in used)
    return [obj["metadata"]["name"], f"{cpu}n", f"{memory // 1024}Ki", obj["window"]]
