"""
Pods near pods they want, and far from those they avoid: what a pod says of others, and what others say of it.

A required affinity needs one domain that holds pods which meet all its terms; the first pod of a group that wants
itself is let in anywhere. An anti-affinity works both ways: placed pods keep those away that they avoid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tiphys.scheduler.holders import Held
from tiphys.scheduler.nodes import Mask, NodeTable
from tiphys.scheduler.objections import Objection
from tiphys.scheduler.scores import Scores
from tiphys.scheduler.terms import PodSelector, Term, preferred, required
from tiphys.scheduler.topology import Counts, Topology

Object = dict[str, Any]
# How many placed pods all of these selectors find on each row.
Tally = Callable[[tuple[PodSelector, ...]], Counts]

NOT_NEAR = "node(s) didn't match pod affinity rules"
TOO_NEAR = "node(s) didn't match pod anti-affinity rules"
KEPT_AWAY = "node(s) didn't satisfy existing pods anti-affinity rules"


class PodTerms:
    """What pods of one kind say of others."""

    def __init__(self, pod: Object, table: NodeTable, topology: Topology) -> None:
        self._table = table
        self._topology = topology
        self.near = required(pod, "podAffinity")
        self.far = required(pod, "podAntiAffinity")
        self.preferred = preferred(pod)

    @property
    def refuses(self) -> bool:
        return bool(self.near or self.far)

    def objections(self, tally: Tally, *, wants_itself: bool) -> Iterator[Objection]:
        """The rows that the pod's own required terms refuse."""
        if self.near:
            yield Objection(NOT_NEAR, ~self._near(tally, wants_itself), curable=False)
        for term in self.far:
            yield Objection(TOO_NEAR, near_any(self._topology, term, tally((term.pods,))))

    def _near(self, tally: Tally, wants_itself: bool) -> Mask:
        counts = tally(tuple(term.pods for term in self.near))
        suits, labelled = np.ones(self._table.rows, dtype=np.bool_), np.ones(self._table.rows, dtype=np.bool_)
        found = False
        for term in self.near:
            domains = self._topology.of(term.topology_key)
            held = domains.totals(counts) > 0
            found = found or bool(held.any())
            labelled &= domains.ids > 0
            suits &= domains.by_row(held)
        return labelled if not found and wants_itself else suits


def near_any(topology: Topology, term: Term, counts: Counts) -> Mask:
    """The rows in a domain that holds any of the pods that `counts` found."""
    domains = topology.of(term.topology_key)
    rows: Mask = domains.by_row(domains.totals(counts) > 0)
    return rows


def kept_away(topology: Topology, held: Sequence[Held], rows: int) -> Iterator[Objection]:
    """The rows from which placed pods keep the pod away."""
    for each in held:
        if each.weight is None and each.rows:
            yield Objection(KEPT_AWAY, near_any(topology, each.term, each.counts(rows)))


def likings(topology: Topology, terms: PodTerms, held: Sequence[Held], tally: Tally, rows: int) -> Scores | None:
    """How much the pod and those that are placed like each other, by row; None where nobody says anything."""
    weighed = [(weight, term, tally((term.pods,))) for weight, term in terms.preferred]
    weighed += [(each.weight, each.term, each.counts(rows)) for each in held if each.weight is not None and each.rows]
    if not weighed:
        return None
    total = np.zeros(rows)
    for weight, term, counts in weighed:
        domains = topology.of(term.topology_key)
        total += domains.by_row(weight * domains.totals(counts))
    return total


def between_least_and_most(raw: Scores, feasible: Mask) -> Scores | None:
    """0 … 100 from the least to the most liked feasible row; None where they are all alike."""
    held = raw[feasible]
    if not len(held):
        return None
    least, most = float(held.min()), float(held.max())
    return (raw - least) * (100.0 / (most - least)) if most > least else None
