"""
Which pod uses what on which node: the pods that are bound, and those just assumed.

A decision is written down here before the API confirms it (*assume*), so the next decision already counts it; a failed
binding takes it back. The informer's events then confirm, move or remove the entry: each is idempotent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tiphys.scheduler.claims import claim_names
from tiphys.scheduler.groups import GroupKey, group_key
from tiphys.scheduler.holders import HeldKey, held_by
from tiphys.scheduler.nodes import Load, NodeTable
from tiphys.scheduler.resized import told_otherwise
from tiphys.scheduler.shape import Shape, load_of
from tiphys.scheduler.world import World

Object = dict[str, Any]
Key = tuple[str, str]

Asks = tuple[Any, ...]


@dataclass(eq=False, slots=True)
class Placed:
    """One pod on a node, in its newest version, what it takes there, and what of it that was worked out from."""

    pod: Object
    node: str
    load: Load
    group: GroupKey
    held: Sequence[HeldKey]
    claims: Sequence[Key]
    asks: Asks

    @property
    def uid(self) -> str:
        return str(self.pod["metadata"]["uid"])

    @property
    def priority(self) -> int:
        return int(self.pod["spec"].get("priority") or 0)


class Ledger:
    """Keeps what the table says of use, and what groups and holders say of pods, right."""

    def __init__(self, table: NodeTable, world: World) -> None:
        self._table = table
        self._world = world
        self._placed: dict[str, Placed] = {}
        self._by_node: dict[str, dict[str, Placed]] = {}
        self._claim_users: dict[Key, set[str]] = {}

    def get(self, uid: str) -> Placed | None:
        return self._placed.get(uid)

    def on(self, node: str) -> list[Placed]:
        """The pods of a node."""
        return list(self._by_node.get(node, {}).values())

    def is_used(self, claim: Key) -> bool:
        """Whether a placed pod uses a claim (namespace, name)."""
        return claim in self._claim_users

    def place(self, pod: Object, node: str, shape: Shape | None = None) -> bool:
        """
        Count the pod on `node`: assumed (its shape is known then), confirmed, or seen for the first time. True if that
        changes anything.
        """
        uid = pod["metadata"]["uid"]
        held = self._placed.get(uid)
        if held is not None and held.node == node and held.group == group_key(pod) and held.asks == _asks(pod):
            held.pod = pod
            return False
        placed = self.placed(pod, node, shape)
        if held is not None:
            self.remove(uid)
        self._placed[uid] = placed
        self._by_node.setdefault(node, {})[uid] = placed
        self._use_claims(placed, 1)
        self._apply(placed, 1)
        return True

    def placed(self, pod: Object, node: str, shape: Shape | None = None) -> Placed:
        """What the pod would take on `node`; it is not counted there."""
        load = shape.load if shape is not None else load_of(self._table, pod)
        return Placed(pod, node, load, group_key(pod), held_by(pod), claim_names(pod), _asks(pod))

    def remove(self, uid: str) -> bool:
        """The pod is gone or finished. False if it was not counted."""
        placed = self._placed.pop(uid, None)
        if placed is None:
            return False
        on_node = self._by_node[placed.node]
        del on_node[uid]
        if not on_node:
            del self._by_node[placed.node]
        self._use_claims(placed, -1)
        self._apply(placed, -1)
        return True

    @contextmanager
    def without(self, pods: Iterable[Placed]) -> Iterator[None]:
        """What would be if these were not there. Everybody who decides within sees the world so."""
        with self._supposed(pods, -1):
            yield

    @contextmanager
    def along_with(self, pods: Iterable[Placed]) -> Iterator[None]:
        """What would be if these were there too."""
        with self._supposed(pods, 1):
            yield

    @contextmanager
    def _supposed(self, pods: Iterable[Placed], sign: int) -> Iterator[None]:
        supposed = list(pods)
        for placed in supposed:
            self._use_claims(placed, sign)
            self._apply(placed, sign)
        try:
            yield
        finally:
            for placed in supposed:
                self._use_claims(placed, -sign)
                self._apply(placed, -sign)

    def node_added(self, name: str) -> None:
        """Count the pods that were seen before their node was."""
        for placed in self.on(name):
            self._apply(placed, 1)

    def node_removed(self, name: str) -> None:
        """What sits on a node that goes is not counted until the node comes back. To be told before the table is."""
        for placed in self.on(name):
            self._apply(placed, -1)

    def _use_claims(self, placed: Placed, sign: int) -> None:
        for claim in placed.claims:
            users = self._claim_users.setdefault(claim, set())
            users.add(placed.uid) if sign > 0 else users.discard(placed.uid)
            if not users:
                del self._claim_users[claim]

    def _apply(self, placed: Placed, sign: int) -> None:
        row = self._table.row_of.get(placed.node)
        if row is None:
            return
        self._table.use(row, placed.load, sign)
        self._world.groups.add(placed.group, row, sign)
        self._world.priorities.add(placed.priority, row, sign)
        if placed.held:
            self._world.holders.add(placed.held, row, sign)
        if placed.claims:
            self._world.attached.add(placed.claims, row, sign)


def _asks(pod: Object) -> Asks:
    """
    What of a pod says how much of a node it takes. The rest changes often, and is not looked at; of the status, what a
    resize has made of the requests.
    """
    asked = pod["spec"].get
    return (
        asked("containers"), asked("initContainers"), asked("overhead"), asked("resources"), asked("hostNetwork"),
        told_otherwise(pod),
    )  # fmt: skip


def takes_less(now: Placed | None, before: Placed) -> bool:
    """Whether a pod leaves more of its node to others than before."""
    if now is None:
        return True
    return any(quantity > now.load.request.get(column, 0) for column, quantity in before.load.request.items())
