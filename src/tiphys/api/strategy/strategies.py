"""The record by which a kind says what is dropped, reset and warned of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Strategy:
    """
    All functions change the new object in place. `create(new)` and `update(new, old)` run after the generic part
    (status dropped, generation set); `subresources` run instead of the generic part. `warnings(new, old)` gives the
    texts of Warning headers (`old` None on create). `generation` False: the kind has none.
    """

    create: Callable[[Object], None] | None = None
    update: Callable[[Object, Object], None] | None = None
    subresources: Mapping[str, Callable[[Object, Object], None]] = field(default_factory=dict)
    warnings: Callable[[Object, Object | None], list[str]] | None = None
    generation: bool = True
    has_status: bool = True
