"""
Choose a node for one pod: pure arithmetic on the node table.

The answer is either a row, or for every node the reason why not, counted as Kubernetes words it:
`0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s) {…}.`
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiphys.scheduler import filters, scores
from tiphys.scheduler.nodes import NodeTable
from tiphys.scheduler.shape import UNFIT, Shape


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why no node fits: each reason with its number of nodes."""

    nodes: int
    reasons: tuple[tuple[str, int], ...]

    @property
    def message(self) -> str:
        if not self.nodes:
            return "no nodes available to schedule pods"
        parts = sorted(f"{count} {reason}" for reason, count in self.reasons)
        return f"0/{self.nodes} nodes are available: {', '.join(parts)}."

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(reason for reason, _ in self.reasons)


def choose(table: NodeTable, shape: Shape, spread: NDArray[np.int32] | None, tie_break: float) -> int | Refusal:
    """
    The row of the best node, or the Refusal. `shape` is refreshed.

    `spread` counts the pods of the same owner per row. `tie_break` in [0, 1) picks among equals, so that equal nodes
    fill evenly and a test can fix the choice.
    """
    ranking = shape.ranking
    if spread is not None:
        ranking = ranking + scores.spread_scores(spread)
    if shape.ports and table.ports:
        ranking = np.where(filters.free_ports(table, shape.ports), ranking, UNFIT)
    highest = ranking.max()
    if highest == UNFIT:
        return explain(table, shape)
    best = np.flatnonzero(ranking >= highest - 1e-9)
    return int(best[int(tie_break * len(best))])


def explain(table: NodeTable, shape: Shape) -> Refusal:
    """Ask every filter about every node; only for a pod that fits nowhere."""
    counts: Counter[str] = Counter()
    for row in table.row_of.values():
        counts.update(reasons_of(table, shape, row))
    return Refusal(len(table), tuple(sorted(counts.items())))


def reasons_of(table: NodeTable, shape: Shape, row: int) -> list[str]:
    """Why this node does not take pods of this shape; empty when it does."""
    node = table.objects[row]
    if node is None:
        return []
    static = filters.first_reason(shape.spec, node)
    if static is not None:
        return [static]
    if any(filters.clashes(port, table.ports.get(row, ())) for port in shape.ports):
        return [filters.HOST_PORTS]
    return filters.lacks(table, row, shape.request)
