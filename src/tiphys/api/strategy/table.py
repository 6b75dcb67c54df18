"""
Which strategy answers for which kind, and what holds for all kinds.

Each file named in `FILES` has a dict `STRATEGIES` from (group, resource) to a `Strategy`. A kind without one has no
generation, and a status of its own if it is served with `/status`. Custom resources bring their own rules.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping

import orjson

from tiphys.api import conform, resources, schema
from tiphys.api.resources import Resource
from tiphys.api.strategy.keeping import bump, keep, keep_all_but_status, spec_changed
from tiphys.api.strategy.strategies import Object, Strategy

FILES: tuple[str, ...] = (
    "admission",
    "certificates",
    "classes",
    "config",
    "leases",
    "networking",
    "nodes",
    "pods",
    "rbac",
    "services",
    "storage",
    "workloads",
)
_PLAIN = Strategy(generation=False)


@functools.cache
def strategies() -> Mapping[tuple[str, str], Strategy]:
    """All kinds' strategies."""
    table: dict[tuple[str, str], Strategy] = {}
    for name in FILES:
        table.update(importlib.import_module(f"tiphys.api.strategy.{name}").STRATEGIES)
    return table


def prepare_create(resource: Resource, obj: Object) -> None:
    """Drop and set what a new object may not say (in place)."""
    found = strategies().get((resource.group, resource.name), _PLAIN)
    if found.has_status:
        empty = _empty_status(resource)
        if empty is not None:
            obj["status"] = orjson.loads(empty)
    if found.generation:
        obj["metadata"]["generation"] = 1
    if found.create is not None:
        found.create(obj)


def prepare_update(resource: Resource, new: Object, old: Object, subresource: str = "") -> None:
    """Keep what this path may not change, and bump the generation when the spec changed (in place)."""
    found = strategies().get((resource.group, resource.name.partition("/")[0]), _PLAIN)
    if subresource:
        prepare = found.subresources.get(subresource)
        if prepare is not None:
            prepare(new, old)
        elif subresource == "status":
            keep_all_but_status(new, old)
        return
    if found.has_status and _empty_status(resource) is not None:
        keep(new, old, "status")
    if found.update is not None:
        found.update(new, old)
    if found.generation and spec_changed(new, old):
        bump(new, old)


def warnings_of(resource: Resource, new: Object, old: Object | None) -> list[str]:
    """The texts of Warning headers."""
    found = strategies().get((resource.group, resource.name))
    return found.warnings(new, old) if found is not None and found.warnings is not None else []


@functools.cache
def _empty_status(resource: Resource) -> bytes | None:
    """The status of a new object as JSON; None if the kind has none that clients write apart."""
    if resources.find(resource.group, resource.version, f"{resource.name}/status") is None:
        return None
    message = schema.message_of(resource.group, resource.version, resource.kind)
    if message is None:
        return None
    blank: Object = conform.conform({}, message).object
    return orjson.dumps(blank.get("status", {}))
