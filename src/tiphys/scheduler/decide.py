"""
Choose a node for one pod: pure arithmetic on the state.

The answer is either a row, or for every node the reason why not, counted as Kubernetes words it:
`0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s).`
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from tiphys.scheduler import filters
from tiphys.scheduler.ledger import Placed
from tiphys.scheduler.nodes import Mask, NodeTable
from tiphys.scheduler.objections import Objection
from tiphys.scheduler.scores import Scores
from tiphys.scheduler.shape import UNFIT
from tiphys.scheduler.state import Asks, State

# Ranks that differ by less are equal.
EPSILON = 1e-9


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    Why no node fits: each reason with its number of nodes, or one that is none of the nodes' (`at_all`). `curable` are
    the rows where fewer pods may help.
    """

    nodes: int
    reasons: tuple[tuple[str, int], ...] = ()
    at_all: str = ""
    curable: Mask = field(default_factory=lambda: np.zeros(0, dtype=np.bool_), compare=False)

    @property
    def message(self) -> str:
        if not self.nodes:
            return "no nodes available to schedule pods"
        if self.at_all:
            return f"0/{self.nodes} nodes are available: {self.at_all}."
        parts = sorted(f"{count} {reason}" for reason, count in self.reasons)
        return f"0/{self.nodes} nodes are available: {', '.join(parts)}."

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset((self.at_all,)) if self.at_all else frozenset(reason for reason, _ in self.reasons)


def choose(state: State, asks: Asks, tie_break: float) -> int | Refusal:
    """
    The row of the best node, or the Refusal. `asks` is of this moment.

    `tie_break` in [0, 1) picks among equals, so that equal nodes fill evenly and a test can fix the choice.
    """
    if asks.volumes is not None and asks.volumes.problem:
        return Refusal(len(state.table), at_all=asks.volumes.problem)
    ranking = _feasible(state, asks)
    highest = ranking.max()
    if highest == UNFIT:
        return explain(state, asks)
    promised = _promised_row(state, asks) if len(state.nominations) else None
    if promised is not None and ranking[promised] > UNFIT:
        return promised
    if asks.shape.prefers or asks.relation is not None:
        ranking = _compared(asks, ranking)
        highest = ranking.max()
    best = np.flatnonzero(ranking >= highest - EPSILON)
    return int(best[int(tie_break * len(best))])


def _promised_row(state: State, asks: Asks) -> int | None:
    return state.table.row_of.get(state.nominations.node_of(asks.pod["metadata"]["uid"]))


def _feasible(state: State, asks: Asks) -> Scores:
    """The shape's ranking, without the rows that other filters refuse."""
    ranking = asks.shape.ranking
    if asks.pinned is not None:
        ranking = np.where(_only(state.table, asks.pinned), ranking, UNFIT)
    if asks.shape.load.ports or asks.volumes is not None or asks.relation is not None:
        ranking = ranking.copy()
        for objection in _others(state, asks):
            np.copyto(ranking, UNFIT, where=objection.rows)
    if len(state.nominations):
        ranking = _without_promised(state, asks, ranking)
    return ranking


def _compared(asks: Asks, ranking: Scores) -> Scores:
    """With what feasible rows are compared by."""
    feasible = ranking > UNFIT
    if asks.shape.prefers:
        ranking = ranking + asks.shape.preference(feasible)
    scores = asks.relation.scores(feasible) if asks.relation is not None else None
    return ranking if scores is None else ranking + scores


def _only(table: NodeTable, name: str) -> Mask:
    rows: Mask = np.zeros(table.rows, dtype=np.bool_)
    row = table.row_of.get(name)
    if row is not None:
        rows[row] = True
    return rows


def _others(state: State, asks: Asks) -> Iterator[Objection]:
    """What the shape's ranking does not know, in Kubernetes' order but for the ports."""
    yield from _port_objections(state, asks)
    if asks.volumes is not None:
        yield from asks.volumes.objections()
    if asks.relation is not None:
        yield from asks.relation.objections()


def _port_objections(state: State, asks: Asks) -> Iterator[Objection]:
    if asks.shape.load.ports and state.table.ports:
        yield Objection(filters.HOST_PORTS, ~filters.free_ports(state.table, asks.shape.load.ports))


def _without_promised(state: State, asks: Asks, ranking: Scores) -> Scores:
    """No row that is full once the pods come that were promised a place there: it has to fit with and without them."""
    uid = asks.pod["metadata"]["uid"]
    for node, promised in state.nominations.ahead_of(uid, asks.priority).items():
        row = state.table.row_of.get(node)
        if row is not None and ranking[row] > UNFIT and not fits_along_with(state, asks, row, promised):
            ranking = ranking.copy()
            ranking[row] = UNFIT
    return ranking


def fits_along_with_promised(state: State, asks: Asks, row: int) -> bool:
    """Whether the pod fits on a row, with and without the pods that were promised a place there."""
    node = state.table.objects[row]
    if node is None or not fits_row(state, asks, row):
        return False
    ahead = state.nominations.ahead_of(asks.pod["metadata"]["uid"], asks.priority) if len(state.nominations) else {}
    promised = ahead.get(node["metadata"]["name"])
    return not promised or fits_along_with(state, asks, row, promised)


def fits_along_with(state: State, asks: Asks, row: int, promised: Sequence[Placed]) -> bool:
    with state.ledger.along_with(promised):
        return fits_row(state, asks, row)


def fits_row(state: State, asks: Asks, row: int) -> bool:
    """Whether the pod fits on one row as the state is at this moment."""
    if asks.relation is not None:
        asks.relation.refresh()
    if not asks.shape.mask[row] or not filters.has_room(state.table, asks.shape.load.request, row):
        return False
    return not any(objection.rows[row] for objection in _others(state, asks))


# explaining


def explain(state: State, asks: Asks) -> Refusal:
    """Ask every filter about every node; only for a pod that fits nowhere."""
    table = state.table
    left, incurable = table.exists.copy(), np.zeros(table.rows, dtype=np.bool_)
    counts: Counter[str] = Counter()
    for objection in _all(state, asks):
        refused = left & objection.rows
        counts[objection.reason] += int(np.count_nonzero(refused))
        incurable |= refused & ~np.broadcast_to(objection.curable, refused.shape)
        if objection.ends:
            left &= ~objection.rows
    for node, promised in state.nominations.ahead_of(asks.pod["metadata"]["uid"], asks.priority).items():
        row = table.row_of.get(node)
        if row is not None and left[row]:
            left[row] = False
            with state.ledger.along_with(promised):
                counts.update(reasons_at(state, asks, row))
    reasons = tuple(sorted((reason, count) for reason, count in counts.items() if reason and count))
    return Refusal(len(table), reasons, curable=table.exists & ~incurable)


def reasons_at(state: State, asks: Asks, row: int) -> list[str]:
    """Why one row does not take the pod; empty when it does."""
    found = []
    for objection in _all(state, asks):
        if objection.rows[row]:
            found += [objection.reason] if objection.reason else []
            if objection.ends:
                break
    return found


def _all(state: State, asks: Asks) -> Iterator[Objection]:
    """Every filter's objections, in Kubernetes' order."""
    table, shape = state.table, asks.shape
    if asks.pinned is not None:
        yield Objection(filters.NOT_PINNED, ~_only(table, asks.pinned), curable=False)
    for code, reason in enumerate(filters.STATIC_REASONS, 1):
        yield Objection(reason, shape.codes == code, curable=False)
    yield from _port_objections(state, asks)
    # A node may lack several resources, and says so of each.
    lacking_any: Mask = np.zeros(table.rows, dtype=np.bool_)
    for reason, lacking, never in filters.shortages(table, shape.load.request):
        yield Objection(reason, lacking, curable=~never, ends=False)
        lacking_any |= lacking
    yield Objection("", lacking_any)
    if asks.volumes is not None:
        yield from asks.volumes.objections()
    if asks.relation is not None:
        yield from asks.relation.objections()
