"""Defaults of limit ranges: what is not said follows from what is."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


def limit_range(obj: Object) -> None:
    """For containers: limits from the maximum, requests from the limits, else from the minimum."""
    for item in (obj.get("spec") or {}).get("limits") or ():
        if item.get("type") != "Container":
            continue
        _fill(item, "default", item.get("max"))
        _fill(item, "defaultRequest", item.get("default"))
        _fill(item, "defaultRequest", item.get("min"))


def _fill(item: Object, name: str, source: Object | None) -> None:
    for resource, amount in (source or {}).items():
        item.setdefault(name, {}).setdefault(resource, amount)


DEFAULTS = {("", "limitranges"): limit_range}
