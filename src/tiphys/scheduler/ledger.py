"""
Which pod uses what on which node: the pods that are bound, and those just assumed.

A decision is written down here before the API confirms it (*assume*), so the next decision already counts it; a failed
binding takes it back. The informer's events then confirm, move or remove the entry: each is idempotent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiphys.api.objects import controller_of
from tiphys.scheduler.nodes import HostPort, NodeTable
from tiphys.scheduler.shape import Shape, host_ports, request_of

Object = dict[str, Any]


# What of a spec says how much of a node a pod takes. The rest of a pod changes often, and is not looked at.
_ASKS = ("containers", "initContainers", "overhead", "resources", "hostNetwork")
Asks = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """One pod's share of a node, and what of its spec that was worked out from."""

    node: str
    request: Mapping[int, int]
    ports: Sequence[HostPort]
    owner: str
    asks: Asks


class Ledger:
    """Keeps the table's `used` and the per-owner counts right."""

    def __init__(self, table: NodeTable) -> None:
        self._table = table
        self._placed: dict[str, Placed] = {}
        # What sits on nodes that the table does not know (yet), by node.
        self._strays: dict[str, set[str]] = {}
        self._counts: dict[str, NDArray[np.int32]] = {}
        self._members: dict[str, int] = {}

    def place(self, pod: Object, node: str, shape: Shape | None = None) -> None:
        """Count the pod on `node`: assumed (its shape is known then), confirmed, or seen for the first time."""
        uid, spec = pod["metadata"]["uid"], pod["spec"]
        asks = tuple(spec.get(name) for name in _ASKS)
        held = self._placed.get(uid)
        if held is not None and held.node == node and held.asks == asks:
            return
        request = shape.request if shape is not None else request_of(self._table, pod)
        placed = Placed(node, request, shape.ports if shape is not None else host_ports(pod), owner_of(pod), asks)
        if held is not None:
            self.remove(uid)
        self._placed[uid] = placed
        self._members[placed.owner] = self._members.get(placed.owner, 0) + 1
        self._apply(uid, placed, 1)

    def remove(self, uid: str) -> bool:
        """The pod is gone or finished. False if it was not counted."""
        placed = self._placed.pop(uid, None)
        if placed is None:
            return False
        self._apply(uid, placed, -1)
        self._members[placed.owner] -= 1
        if not self._members[placed.owner]:
            del self._members[placed.owner]
            self._counts.pop(placed.owner, None)
        return True

    def node_added(self, name: str) -> None:
        """Count the pods that were seen before their node was."""
        for uid in self._strays.pop(name, set()):
            self._apply(uid, self._placed[uid], 1)

    def node_removed(self, name: str) -> None:
        """The table cleared the row: what sat there is a stray until the node comes back or the pods go."""
        strays = {uid for uid, placed in self._placed.items() if placed.node == name}
        if strays:
            self._strays[name] = strays
        row = self._table.row_of.get(name)
        if row is not None:
            for counts in self._counts.values():
                if row < len(counts):
                    counts[row] = 0

    def spread(self, pod: Object) -> NDArray[np.int32] | None:
        """Pods of the same owner per row; None when there are none."""
        owner = owner_of(pod)
        return self._row_counts(owner) if owner in self._members and owner else None

    def _row_counts(self, owner: str) -> NDArray[np.int32]:
        counts = self._counts.get(owner)
        if counts is None:
            counts = self._counts[owner] = np.zeros(self._table.rows, dtype=np.int32)
        elif len(counts) < self._table.rows:
            grown = np.zeros(self._table.rows, dtype=np.int32)
            grown[: len(counts)] = counts
            counts = self._counts[owner] = grown
        return counts

    def _apply(self, uid: str, placed: Placed, sign: int) -> None:
        row = self._table.row_of.get(placed.node)
        if row is None:
            strays = self._strays.setdefault(placed.node, set())
            strays.add(uid) if sign > 0 else strays.discard(uid)
            return
        self._table.use(row, placed.request, placed.ports, sign)
        if placed.owner:
            self._row_counts(placed.owner)[row] += sign


def owner_of(pod: Object) -> str:
    """Pods of one controller spread over the nodes; "" for a pod of its own."""
    owner = controller_of(pod)
    return str(owner["uid"]) if owner is not None else ""
