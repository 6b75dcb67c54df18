"""
Pods spread over zones, racks and nodes: `topologySpreadConstraints`, and the soft ones that every sibling gets.

A hard constraint refuses nodes on which the pod would make its domain too full compared with the emptiest one; a soft
one prefers emptier domains. Only nodes count that could take the pod at all, as far as the constraint says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tiphys.api.selectors import Labels, Selector, from_label_selector
from tiphys.scheduler.nodes import Mask, NodeTable
from tiphys.scheduler.objections import Objection
from tiphys.scheduler.scores import Scores
from tiphys.scheduler.topology import HOSTNAME, ZONE, Counts, Domains, Topology

Object = dict[str, Any]

# Pods that a selector finds, per row.
CountsOf = Callable[[Selector], Counts]

TOO_SKEWED = "node(s) didn't match pod topology spread constraints"
NO_LABEL = "node(s) didn't match pod topology spread constraints (missing required label)"


@dataclass(frozen=True, slots=True)
class Constraint:
    """One topologySpreadConstraint. `hard` is DoNotSchedule."""

    key: str
    max_skew: int
    selector: Selector
    hard: bool = False
    min_domains: int = 1
    honors_affinity: bool = True
    honors_taints: bool = False


def constraints_of(pod: Object) -> tuple[Constraint, ...]:
    """What a pod says itself."""
    return tuple(
        Constraint(
            item["topologyKey"],
            item["maxSkew"],
            from_label_selector(item.get("labelSelector")),
            item.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule",
            item.get("minDomains") or 1,
            item.get("nodeAffinityPolicy", "Honor") == "Honor",
            item.get("nodeTaintsPolicy", "Ignore") == "Honor",
        )
        for item in pod["spec"].get("topologySpreadConstraints") or ()
    )


def default_constraints(siblings: Selector) -> tuple[Constraint, ...]:
    """What the scheduler adds for pods that say nothing: siblings over nodes, and a little less over zones."""
    return Constraint(HOSTNAME, 3, siblings), Constraint(ZONE, 5, siblings)


class Included:
    """Which nodes could take pods of a kind: those that its node affinity admits, and whose taints it tolerates."""

    def __init__(self, affine: Any, untainted: Any) -> None:
        self._affine = affine
        self._untainted = untainted

    def rows(self, table: NodeTable, constraint: Constraint) -> Mask:
        """The rows that count for a constraint."""
        rows: Mask = table.exists
        if constraint.honors_affinity and self._affine is not None:
            rows = rows & self._affine.rows()
        if constraint.honors_taints:
            rows = rows & self._untainted.rows()
        return rows


class Counting:
    """One constraint over the rows that count for it: what depends on nodes alone is worked out once."""

    def __init__(self, constraint: Constraint, domains: Domains, rows: Mask) -> None:
        self.constraint = constraint
        self.domains = domains
        self._present = np.flatnonzero(domains.present(rows))
        self._ranked: Mask | None = None
        self._size = 0
        self._rows: Mask | None = None if rows[domains.ids > 0].all() else rows

    def totals(self, counts: Counts) -> Counts:
        """Pods in each domain."""
        return self.domains.totals(counts if self._rows is None else counts * self._rows)

    def size(self, ranked: Mask) -> int:
        """How many domains have one of the rows, which are mostly those of the last pod."""
        if self._ranked is None or not np.array_equal(self._ranked, ranked):
            self._ranked = ranked
            self._size = int(ranked.sum() if self.domains.key == HOSTNAME else self.domains.present(ranked).sum())
        return self._size

    def least(self, totals: Counts) -> float:
        """Pods in the emptiest domain; 0 if there are fewer domains than there should be."""
        if len(self._present) < self.constraint.min_domains:
            return 0.0
        return float(totals[self._present].min()) if len(self._present) else math.inf


class Spread:
    """The constraints of pods of one kind. `labels` are the pod's own."""

    def __init__(self, table: NodeTable, topology: Topology, constraints: Sequence[Constraint], labels: Labels) -> None:
        self._table = table
        self._topology = topology
        self._hard = [each for each in constraints if each.hard]
        self._soft = [each for each in constraints if not each.hard]
        self._labels = labels
        self._counted: tuple[int, int] = (-1, -1)
        self._hard_counting: list[Counting] = []
        self._soft_counting: list[Counting] = []

    @property
    def refuses(self) -> bool:
        return bool(self._hard)

    @property
    def prefers(self) -> bool:
        return bool(self._soft)

    def prepare(self, included: Included, *, strict: bool) -> None:
        """
        Look at nodes that changed. `strict`: a node that lacks a label does not count at all, as it is for constraints
        that pods say themselves.
        """
        state = (self._table.facts.epoch, self._table.rows)
        if self._counted == state:
            return
        self._counted = state
        self._hard_counting = self._counting(self._hard, included, strict=True)
        self._soft_counting = self._counting(self._soft, included, strict=strict)
        self._labelled: Mask | None = self._with_all_labels(self._soft) if strict else None

    def _counting(self, constraints: list[Constraint], included: Included, *, strict: bool) -> list[Counting]:
        labelled = self._with_all_labels(constraints) if strict else self._table.exists
        return [
            Counting(each, self._topology.of(each.key), labelled & included.rows(self._table, each))
            for each in constraints
        ]

    def _with_all_labels(self, constraints: list[Constraint]) -> Mask:
        rows: Mask = self._table.exists.copy()
        for each in constraints:
            rows &= self._topology.of(each.key).ids > 0
        return rows

    def objections(self, counts_of: CountsOf) -> Iterator[Objection]:
        """The rows that hard constraints refuse. `counts_of(selector)` counts pods per row."""
        for counting in self._hard_counting:
            constraint, domains = counting.constraint, counting.domains
            if not domains.complete:
                yield Objection(NO_LABEL, domains.ids == 0, curable=False)
            totals = counting.totals(counts_of(constraint.selector))
            most = constraint.max_skew + counting.least(totals) - constraint.selector.matches(self._labels)
            yield Objection(TOO_SKEWED, domains.by_row(totals > most))

    def scores(self, counts_of: CountsOf, feasible: Mask) -> Scores:
        """0 … 100 by the soft constraints."""
        ranked = feasible if self._labelled is None else feasible & self._labelled
        total = np.zeros(len(feasible))
        for counting in self._soft_counting:
            constraint, domains = counting.constraint, counting.domains
            if domains.size == 1:
                continue
            found = counts_of(constraint.selector)
            if domains.key != HOSTNAME:
                found = domains.by_row(counting.totals(found))
            # Few domains differ more in their counts than many do.
            points = found * math.log(counting.size(ranked) + 2) + (constraint.max_skew - 1)
            total += points if domains.complete else np.where(domains.ids > 0, points, 0.0)
        return _emptier_is_better(np.rint(total), ranked, all_ranked=ranked is feasible)


def _emptier_is_better(total: Scores, ranked: Mask, *, all_ranked: bool) -> Scores:
    most = float(np.where(ranked, total, -np.inf).max(initial=0.0))
    if most <= 0:
        return np.where(ranked, 100.0, 0.0)
    least = float(np.where(ranked, total, np.inf).min())
    scores: Scores = (most + least - total) * (100.0 / most)
    # What is not feasible has no rank, whatever its points are.
    return scores if all_ranked else np.where(ranked, scores, 0.0)
