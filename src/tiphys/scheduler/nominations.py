"""
Pods that were promised a node: they wait for the pods that were preempted for them to go.

What a promised pod needs is kept free from pods of lower priority; those of higher priority may take it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiphys.scheduler.ledger import Placed

Object = dict[str, Any]


class Nominations:
    """
    By uid of the pod. `Placed` says where it would be, and what it would take there. `victims` are uids of pods that
    were told to go: the objects may not say it yet.
    """

    def __init__(self) -> None:
        self._promised: dict[str, Placed] = {}
        self.victims: set[str] = set()

    def __len__(self) -> int:
        return len(self._promised)

    def put(self, placed: Placed) -> None:
        self._promised[placed.uid] = placed

    def remove(self, uid: str) -> Placed | None:
        return self._promised.pop(uid, None)

    def node_of(self, uid: str) -> str:
        """Where the pod was promised a place; "" if it was not."""
        promised = self._promised.get(uid)
        return promised.node if promised is not None else ""

    def ahead_of(self, uid: str, priority: int) -> dict[str, list[Placed]]:
        """By node, the promised pods that a pod of this priority has to leave room for."""
        found: dict[str, list[Placed]] = {}
        for promised in self._promised.values():
            if promised.uid != uid and promised.priority >= priority:
                found.setdefault(promised.node, []).append(promised)
        return found

    def below(self, node: str, priority: int) -> Iterator[Placed]:
        """The promised pods of a node that are less important than this priority."""
        return (p for p in list(self._promised.values()) if p.node == node and p.priority < priority)
