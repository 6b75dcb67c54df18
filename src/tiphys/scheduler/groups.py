"""
Placed pods by what selectors see of them, and how many of them a selector finds on each node.

Pods of one namespace with the same labels are one *group*: a Deployment's replicas are matched against a selector once.
A *tally* is the answer to one selector as an array over rows; it is kept up to date as pods come and go, so that a
decision reads it and counts nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tiphys.api.selectors import Labels
from tiphys.scheduler.nodes import NodeTable
from tiphys.scheduler.terms import Namespaces, PodSelector
from tiphys.scheduler.topology import Counts

Object = dict[str, Any]
GroupKey = tuple[str, frozenset[tuple[str, str]], bool]
# All of these have to match.
TallyKey = tuple[tuple[PodSelector, ...], bool]

# Tallies used lately: one is an array of a number per row, and together they have this many numbers (32 MB).
TALLY_CELLS_MAX = 4_000_000


@dataclass(eq=False, slots=True)
class Group:
    """Pods alike: how many of them are on which row."""

    namespace: str
    labels: Labels
    ending: bool
    rows: dict[int, int] = field(default_factory=dict)
    tallies: list[Tally] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Tally:
    """How many placed pods of each row a selector finds."""

    key: TallyKey
    counts: Counts
    groups: set[Group] = field(default_factory=set)

    def finds(self, group: Group, namespaces: Namespaces) -> bool:
        selectors, with_ending = self.key
        if group.ending and not with_ending:
            return False
        return all(each.matches(group.namespace, group.labels, namespaces) for each in selectors)


class Groups:
    """All placed pods, and the tallies asked for lately."""

    def __init__(self, table: NodeTable, namespaces: Namespaces) -> None:
        self._table = table
        self._namespaces = namespaces
        self._groups: dict[GroupKey, Group] = {}
        self._tallies: OrderedDict[TallyKey, Tally] = OrderedDict()
        self._version = namespaces.version

    def add(self, key: GroupKey, row: int, sign: int) -> None:
        """A pod came to (1) or left (-1) a row."""
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(key[0], dict(key[1]), key[2])
            for tally in self._tallies.values():
                if tally.finds(group, self._namespaces):
                    _join(group, tally)
        count = group.rows.get(row, 0) + sign
        if count:
            group.rows[row] = count
        else:
            group.rows.pop(row, None)
        for tally in group.tallies:
            self._fit(tally)
            tally.counts[row] += sign
        if not group.rows:
            del self._groups[key]
            for tally in group.tallies:
                tally.groups.discard(group)

    def tally(self, selectors: tuple[PodSelector, ...], *, with_ending: bool = True) -> Counts:
        """Per row, the pods that all of `selectors` find; pods on their way out only `with_ending`."""
        if self._version != self._namespaces.version:
            self._forget_by_namespace()
        key = (selectors, with_ending)
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._count(key)
        else:
            self._tallies.move_to_end(key)
        self._fit(tally)
        return tally.counts

    def _count(self, key: TallyKey) -> Tally:
        tally = self._tallies[key] = Tally(key, np.zeros(self._table.rows, dtype=np.float64))
        for group in self._groups.values():
            if tally.finds(group, self._namespaces):
                _join(group, tally)
                for row, count in group.rows.items():
                    tally.counts[row] += count
        if len(self._tallies) > max(TALLY_CELLS_MAX // self._table.rows, 1):
            self._forget(self._tallies.popitem(last=False)[1])
        return tally

    def _fit(self, tally: Tally) -> None:
        missing = self._table.rows - len(tally.counts)
        if missing > 0:
            tally.counts = np.concatenate([tally.counts, np.zeros(missing, dtype=np.float64)])

    @staticmethod
    def _forget(tally: Tally) -> None:
        for group in tally.groups:
            group.tallies.remove(tally)

    def _forget_by_namespace(self) -> None:
        """A namespace has other labels: what selects by them is counted anew when it is asked for."""
        self._version = self._namespaces.version
        for key, tally in list(self._tallies.items()):
            if any(each.namespace_selector is not None for each in key[0]):
                del self._tallies[key]
                self._forget(tally)


def _join(group: Group, tally: Tally) -> None:
    group.tallies.append(tally)
    tally.groups.add(group)


def group_key(pod: Object) -> GroupKey:
    """What selectors see of a pod."""
    meta = pod["metadata"]
    labels = meta.get("labels")
    seen = frozenset(labels.items()) if labels else frozenset()
    return meta.get("namespace", ""), seen, "deletionTimestamp" in meta
