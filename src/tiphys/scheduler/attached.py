"""
How many volumes of each driver are in use on each node, and how many a node takes.

A claim counts once for a node, however many of its pods use it. Drivers tell the limits in CSINode objects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tiphys.scheduler.nodes import Mask, NodeTable

Object = dict[str, Any]
Key = tuple[str, str]


class Attached:
    """Claims in use by row. `driver_of` is set by whoever knows the claims."""

    def __init__(self, table: NodeTable) -> None:
        self._table = table
        self._uses: dict[Key, dict[int, int]] = {}
        self._csi_nodes: dict[str, dict[str, int]] = {}

    def add(self, claims: Sequence[Key], row: int, sign: int) -> None:
        """A pod that uses these claims came to (1) or left (-1) a row."""
        for claim in claims:
            rows = self._uses.setdefault(claim, {})
            rows[row] = rows.get(row, 0) + sign
            if not rows[row]:
                del rows[row]
                if not rows:
                    del self._uses[claim]

    def put_csi_node(self, csi_node: Object) -> None:
        """What the drivers of a node say they take."""
        drivers = (csi_node.get("spec") or {}).get("drivers") or ()
        self._csi_nodes[csi_node["metadata"]["name"]] = {
            driver["name"]: driver["allocatable"]["count"]
            for driver in drivers
            if (driver.get("allocatable") or {}).get("count") is not None
        }

    def remove_csi_node(self, name: str) -> None:
        self._csi_nodes.pop(name, None)

    @property
    def is_limited(self) -> bool:
        """Whether any driver has a limit anywhere."""
        return any(self._csi_nodes.values())

    def too_many(self, claims: Iterable[Key], driver_of: Callable[[Key], str | None]) -> Mask:
        """The rows that would hold more volumes of a driver than it takes there."""
        full: Mask = np.zeros(self._table.rows, dtype=np.bool_)
        wanted: dict[str, list[Key]] = {}
        for claim in claims:
            driver = driver_of(claim)
            if driver is not None:
                wanted.setdefault(driver, []).append(claim)
        for driver, named in wanted.items():
            held = self._held(driver, driver_of)
            for node, limits in self._csi_nodes.items():
                row = self._table.row_of.get(node)
                if row is not None and driver in limits:
                    fresh = sum(row not in self._uses.get(claim, ()) for claim in named)
                    full[row] = full[row] or (fresh > 0 and held[row] + fresh > limits[driver])
        return full

    def _held(self, driver: str, driver_of: Callable[[Key], str | None]) -> Counter[int]:
        held: Counter[int] = Counter()
        for claim, rows in self._uses.items():
            if driver_of(claim) == driver:
                held.update(rows.keys())
        return held
