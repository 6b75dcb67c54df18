"""
The nodes by the value of a label: zones, racks, host names.

Every value of a key has a number, and every row has the number of its value, so that "pods per zone" is one count over
an array. Number 0 stands for nodes without the label: whatever is summed there is thrown away.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiphys.scheduler.nodes import Mask, NodeTable

Counts = NDArray[np.float64]
Ids = NDArray[np.int64]

HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"
# Keys come from pods: those used lately are kept.
KEYS_MAX = 64
# Values of nodes that went keep their number until there are this many more than rows.
VALUES_SPARE = 64


class Domains:
    """One label key. `ids` is per row; read it after `refresh`."""

    def __init__(self, table: NodeTable, key: str) -> None:
        self._table = table
        self.key = key
        self._start()

    def _start(self) -> None:
        self.ids: Ids = np.zeros(0, dtype=np.int64)
        # Whether every node has the label.
        self.complete = True
        self.numbers: dict[str, int] = {}
        self._seen = 0

    @property
    def size(self) -> int:
        """How many numbers there are, with the 0 of those without a label."""
        return len(self.numbers) + 1

    def refresh(self) -> None:
        """Look at the nodes whose labels changed."""
        table = self._table
        if self._seen == table.facts.epoch and len(self.ids) == table.rows:
            return
        if len(self.numbers) > table.rows + VALUES_SPARE:
            self._start()
        changed = table.facts.since(self._seen) if len(self.ids) == table.rows else None
        if changed is None:
            self.ids = np.zeros(table.rows, dtype=np.int64)
        self._seen = table.facts.epoch
        for row in range(table.rows) if changed is None else changed:
            self.ids[row] = self._number(table.objects[row])
        self.complete = bool(self.ids[table.exists].all())

    def _number(self, node: dict[str, Any] | None) -> int:
        value = (node["metadata"].get("labels") or {}).get(self.key) if node is not None else None
        return self.numbers.setdefault(value, self.size) if value is not None else 0

    def totals(self, counts: Counts) -> Counts:
        """The sum of a count of rows in each domain; 0 for those without the label."""
        found: Counts = np.bincount(self.ids, weights=counts, minlength=self.size).astype(np.float64, copy=False)
        found[0] = 0
        return found

    def by_row(self, found: NDArray[Any]) -> NDArray[Any]:
        """For each row, what was found of its domain."""
        return found.take(self.ids)

    def present(self, rows: Mask) -> Mask:
        """Which domains have one of `rows`."""
        found: Mask = np.zeros(self.size, dtype=np.bool_)
        found[self.ids[rows]] = True
        found[0] = False
        return found


class Topology:
    """The keys asked for lately."""

    def __init__(self, table: NodeTable) -> None:
        self._table = table
        self._known: OrderedDict[str, Domains] = OrderedDict()

    def of(self, key: str) -> Domains:
        """The domains of a key, refreshed."""
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Domains(self._table, key)
            if len(self._known) > KEYS_MAX:
                self._known.popitem(last=False)
        found.refresh()
        return found
