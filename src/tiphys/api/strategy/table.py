"""
Which strategy answers for which kind, and what holds for all kinds.

Each file named in `FILES` has a dict `STRATEGIES` from (group, resource) to a `Strategy`.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping

from tiphys.api.resources import Resource
from tiphys.api.strategy.strategies import Object, Strategy

FILES: tuple[str, ...] = ()


@functools.cache
def strategies() -> Mapping[tuple[str, str], Strategy]:
    """All kinds' strategies."""
    table: dict[tuple[str, str], Strategy] = {}
    for name in FILES:
        table.update(importlib.import_module(f"tiphys.api.strategy.{name}").STRATEGIES)
    return table


def prepare_create(resource: Resource, obj: Object) -> None:
    """Drop and set what a new object may not say (in place)."""
    raise NotImplementedError


def prepare_update(resource: Resource, new: Object, old: Object, subresource: str = "") -> None:
    """Keep what this path may not change, and bump the generation when the spec changed (in place)."""
    raise NotImplementedError


def warnings_of(resource: Resource, new: Object, old: Object | None) -> list[str]:
    """The texts of Warning headers."""
    found = strategies().get((resource.group, resource.name))
    return found.warnings(new, old) if found is not None and found.warnings is not None else []
