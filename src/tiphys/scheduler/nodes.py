"""
The nodes as arrays: one row a node, one column a resource.

Filters and scores read whole columns, so a decision over 5,000 nodes costs microseconds. Rows of nodes that went away
are reused. Two change logs let a pod shape look again at only the rows that changed: `facts` for labels, taints and
flags, `numbers` for what is offered and used.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiphys.api.quantity import milli, value
from tiphys.scheduler.images import Images

Object = dict[str, Any]
Vector = NDArray[np.int64]
Mask = NDArray[np.bool_]

# The columns that every node has, in this order; others are added when a node first offers them.
CPU, MEMORY, EPHEMERAL, PODS = range(4)
BASE_COLUMNS = ("cpu", "memory", "ephemeral-storage", "pods")
# Changes remembered; a shape that is further behind looks at every row again.
CHANGES_MAX = 10_000
ROWS_FIRST = 16
# A full table grows by a quarter: every decision reads all rows, also empty ones.
ROWS_GROWN_BY = 4

HostPort = tuple[str, str, int]  # (ip, protocol, port); ip "" is every address


@dataclass(frozen=True, slots=True)
class Load:
    """
    What a pod takes from its node: column → amount, and its host ports.

    `scored` is CPU and memory as they count for scores: a container without a request still costs something.
    """

    request: Mapping[int, int]
    scored: tuple[int, int] = (0, 0)
    ports: Sequence[HostPort] = ()


def amount(resource: str, quantity: Any) -> int:
    """A quantity in the unit of its column: milli-CPU, otherwise whole units rounded up."""
    return milli(str(quantity)) if resource == "cpu" else value(str(quantity))


class ChangeLog:
    """Which rows changed lately. `epoch` counts the changes."""

    def __init__(self) -> None:
        self.epoch = 0
        self._rows: deque[int] = deque(maxlen=CHANGES_MAX)

    def mark(self, row: int) -> None:
        self.epoch += 1
        self._rows.append(row)

    def since(self, epoch: int) -> set[int] | None:
        """The rows that changed after `epoch`; None when that is no longer known."""
        count = self.epoch - epoch
        if count > len(self._rows):
            return None
        return {self._rows[-number] for number in range(1, count + 1)}


class NodeTable:
    """Capacity and use of every node. `row_of` names the rows in use."""

    def __init__(self) -> None:
        self.columns: dict[str, int] = {name: number for number, name in enumerate(BASE_COLUMNS)}
        self.row_of: dict[str, int] = {}
        self.objects: list[Object | None] = [None] * ROWS_FIRST
        self.exists: Mask = np.zeros(ROWS_FIRST, dtype=np.bool_)
        self.allocatable: Vector = np.zeros((len(BASE_COLUMNS), ROWS_FIRST), dtype=np.int64)
        self.used: Vector = np.zeros((len(BASE_COLUMNS), ROWS_FIRST), dtype=np.int64)
        self.scored: Vector = np.zeros((2, ROWS_FIRST), dtype=np.int64)
        self.ports: dict[int, dict[HostPort, int]] = {}
        self._free = list(range(ROWS_FIRST - 1, -1, -1))
        self.facts, self.numbers = ChangeLog(), ChangeLog()
        self.images = Images()

    @property
    def rows(self) -> int:
        return len(self.objects)

    def __len__(self) -> int:
        return len(self.row_of)

    def column(self, resource: str) -> int:
        """The column of a resource, made on first sight."""
        found = self.columns.get(resource)
        if found is None:
            found = self.columns[resource] = len(self.columns)
            blank = np.zeros((1, self.rows), dtype=np.int64)
            self.allocatable = np.vstack([self.allocatable, blank])
            self.used = np.vstack([self.used, blank])
        return found

    def put(self, node: Object) -> bool:
        """Add or replace a node. True if something changed that a waiting pod may care about."""
        name = node["metadata"]["name"]
        row = self.row_of.get(name)
        if row is None:
            row = self.row_of[name] = self._take_row()
            old = None
        else:
            old = self.objects[row]
        self.objects[row] = node
        self.exists[row] = True
        self.images.put(row, (node.get("status") or {}).get("images") or ())
        offers_changed = self._set_allocatable(row, (node.get("status") or {}).get("allocatable") or {})
        static_changed = old is None or static_facts(old) != static_facts(node)
        if static_changed:
            self.facts.mark(row)
        if static_changed or offers_changed:
            self.numbers.mark(row)
        return static_changed or offers_changed

    def remove(self, name: str) -> None:
        row = self.row_of.pop(name, None)
        if row is None:
            return
        self.objects[row] = None
        self.exists[row] = False
        self.allocatable[:, row] = 0
        self.used[:, row] = self.scored[:, row] = 0
        self.images.put(row, ())
        self.ports.pop(row, None)
        self._free.append(row)
        self.facts.mark(row)
        self.numbers.mark(row)

    def use(self, row: int, load: Load, sign: int) -> None:
        """Account for a pod on a row (`sign` 1) or take it off again (-1)."""
        for column, quantity in load.request.items():
            self.used[column, row] += sign * quantity
        for column, quantity in enumerate(load.scored):
            self.scored[column, row] += sign * quantity
        self.numbers.mark(row)
        for port in load.ports:
            held = self.ports.setdefault(row, {})
            held[port] = held.get(port, 0) + sign
            if held[port] <= 0:
                del held[port]

    def _set_allocatable(self, row: int, offered: Mapping[str, Any]) -> bool:
        before = self.allocatable[:, row].copy()
        fresh = {self.column(resource): amount(resource, quantity) for resource, quantity in offered.items()}
        self.allocatable[:, row] = 0
        for column, quantity in fresh.items():
            self.allocatable[column, row] = quantity
        return len(before) != len(self.columns) or bool((self.allocatable[:, row] != before).any())

    def _take_row(self) -> int:
        if not self._free:
            grown = max(self.rows // ROWS_GROWN_BY, ROWS_FIRST)
            first = self.rows
            self.objects += [None] * grown
            self.exists = np.concatenate([self.exists, np.zeros(grown, dtype=np.bool_)])
            blank = np.zeros((len(self.columns), grown), dtype=np.int64)
            self.allocatable = np.hstack([self.allocatable, blank])
            self.used = np.hstack([self.used, blank])
            self.scored = np.hstack([self.scored, np.zeros((2, grown), dtype=np.int64)])
            self._free = list(range(first + grown - 1, first - 1, -1))
        return self._free.pop()


def static_facts(node: Mapping[str, Any]) -> tuple[Any, ...]:
    """What filters read of a node besides its numbers."""
    spec = node.get("spec") or {}
    return node["metadata"].get("labels"), spec.get("taints"), spec.get("unschedulable")
