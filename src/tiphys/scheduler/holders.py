"""
The terms that placed pods hold: whom they keep away, and whom they would like near.

A pod that has an anti-affinity is kept from others, and keeps others from itself, although they know nothing of it.
Every distinct term is kept once, with the rows of the pods that hold it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tiphys.scheduler.nodes import NodeTable
from tiphys.scheduler.terms import Term, has_terms, preferred, required
from tiphys.scheduler.topology import Counts

Object = dict[str, Any]

# What a placed pod's required affinity is worth for those whom it wants near: Kubernetes' hardPodAffinityWeight.
WEIGHT_REQUIRED = 1
# (term, weight); weight None forbids.
HeldKey = tuple[Term, int | None]


@dataclass(eq=False, slots=True)
class Held:
    """One term and where its holders are. `counts` is made when somebody asks."""

    term: Term
    weight: int | None
    rows: dict[int, int] = field(default_factory=dict)
    _counts: Counts | None = None

    def add(self, row: int, sign: int) -> None:
        count = self.rows.get(row, 0) + sign
        if count:
            self.rows[row] = count
        else:
            self.rows.pop(row, None)
        if self._counts is not None and row < len(self._counts):
            self._counts[row] = count

    def counts(self, rows: int) -> Counts:
        """How many hold it on each row."""
        if self._counts is None or len(self._counts) < rows:
            self._counts = np.zeros(rows, dtype=np.float64)
            for row, count in self.rows.items():
                self._counts[row] = count
        return self._counts


class Holders:
    """Every term that a placed pod holds. `since` tells which are new, so that each is compared with a pod once."""

    def __init__(self, table: NodeTable) -> None:
        self._table = table
        self._held: dict[HeldKey, tuple[int, Held]] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def epoch(self) -> int:
        return self._next

    def add(self, terms: Sequence[HeldKey], row: int, sign: int) -> None:
        """A pod with these terms came to (1) or left (-1) a row."""
        for key in terms:
            entry = self._held.get(key)
            if entry is None:
                entry = self._held[key] = (self._next, Held(*key))
                self._next += 1
            entry[1].add(row, sign)
            if not entry[1].rows:
                del self._held[key]

    def since(self, epoch: int) -> Iterator[Held]:
        """The terms that came up after `epoch`, newest first."""
        for number, held in reversed(self._held.values()):
            if number < epoch:
                return
            yield held


def held_by(pod: Object) -> tuple[HeldKey, ...]:
    """What a placed pod holds."""
    if not has_terms(pod):
        return ()
    found: list[HeldKey] = [(term, None) for term in required(pod, "podAntiAffinity")]
    found += [(term, WEIGHT_REQUIRED) for term in required(pod, "podAffinity")]
    found += [(term, weight) for weight, term in preferred(pod)]
    return tuple(found)
