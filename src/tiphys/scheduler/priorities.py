"""How many pods of each priority are on each node: where somebody less important could make room."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tiphys.scheduler.nodes import Mask, NodeTable


class Priorities:
    """Priority → pods per row. There are as many arrays as priorities in use, which are few."""

    def __init__(self, table: NodeTable) -> None:
        self._table = table
        self._counts: dict[int, NDArray[np.int32]] = {}
        self._totals: dict[int, int] = {}

    def add(self, priority: int, row: int, sign: int) -> None:
        """A pod of this priority came to (1) or left (-1) a row."""
        self._totals[priority] = self._totals.get(priority, 0) + sign
        if not self._totals[priority]:
            del self._totals[priority]
            self._counts.pop(priority, None)
            return
        counts = self._counts.get(priority)
        if counts is None or len(counts) < self._table.rows:
            grown = np.zeros(self._table.rows, dtype=np.int32)
            if counts is not None:
                grown[: len(counts)] = counts
            counts = self._counts[priority] = grown
        counts[row] += sign

    def below(self, priority: int) -> Mask:
        """The rows with a pod that is less important than this."""
        rows: Mask = np.zeros(self._table.rows, dtype=np.bool_)
        for held, counts in self._counts.items():
            if held < priority:
                rows[: len(counts)] |= counts > 0
        return rows

    def has_below(self, priority: int, row: int) -> bool:
        """Whether a row has a pod that is less important than this."""
        return any(held < priority and row < len(c) and c[row] > 0 for held, c in self._counts.items())
