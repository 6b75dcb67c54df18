"""
Which function sets the defaults of which kind.

Each file named in `FILES` has a dict `DEFAULTS` from (group, resource) to a function that fills a private copy in
place.
A kind with several versions looks at the object's apiVersion.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from typing import Any

from tiphys.api.resources import Resource

Object = dict[str, Any]
FILES: tuple[str, ...] = (
    "admission",
    "authentication",
    "autoscaling",
    "classes",
    "config",
    "flowcontrol",
    "networking",
    "nodes",
    "pods",
    "quotas",
    "rbac",
    "services",
    "storage",
    "workloads",
)


@functools.cache
def functions() -> Mapping[tuple[str, str], Callable[[Object], None]]:
    """All kinds' functions."""
    table: dict[tuple[str, str], Callable[[Object], None]] = {}
    for name in FILES:
        table.update(importlib.import_module(f"tiphys.api.defaults.{name}").DEFAULTS)
    return table


def set_defaults(resource: Resource, obj: Object) -> None:
    """Fill a typed object of the path's version in place. Running it twice changes nothing."""
    # A subresource that is the object seen otherwise (status) has the object's defaults; a Scale has its own.
    name = resource.name if resource.kind_group else resource.name.partition("/")[0]
    found = functions().get((resource.group, name))
    if found is not None:
        found(obj)
