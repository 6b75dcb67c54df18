"""The cluster as the scheduler sees it: nodes, placed pods, pods that were promised a node, volumes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tiphys.scheduler.ledger import Ledger
from tiphys.scheduler.nodes import NodeTable
from tiphys.scheduler.nominations import Nominations
from tiphys.scheduler.relations import Relation, Relations
from tiphys.scheduler.shape import Shape, Shapes, pinned_to
from tiphys.scheduler.volume_needs import VolumeNeeds, needs_of
from tiphys.scheduler.volumes import Volumes
from tiphys.scheduler.world import World

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asks:
    """One pod, and what it asks of a node. Good until something changes."""

    pod: Object
    shape: Shape
    relation: Relation | None = None
    pinned: str | None = None
    volumes: VolumeNeeds | None = None

    @property
    def priority(self) -> int:
        return priority_of(self.pod)


class State:
    """Everything that decisions read. The scheduler's handlers keep it."""

    def __init__(self) -> None:
        self.table = NodeTable()
        self.world = World(self.table)
        self.ledger = Ledger(self.table, self.world)
        self.nominations = Nominations()
        self.volumes = Volumes(self.world, self.ledger)
        self._shapes = Shapes(self.table)
        self._relations = Relations(self.world)

    def asks(self, pod: Object) -> Asks:
        """What the pod asks now."""
        shape = self._shapes.of(pod)
        affinity = pod["spec"].get("affinity")
        return Asks(
            pod,
            shape,
            self._relations.of(pod),
            pinned_to(pod["spec"]) if affinity else None,
            needs_of(self.volumes, pod),
        )


def priority_of(pod: Object) -> int:
    return int(pod["spec"].get("priority") or 0)
