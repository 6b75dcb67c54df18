"""What the placed pods make of the cluster, as the selectors, terms and volumes of others see it."""

from __future__ import annotations

from tiphys.scheduler.attached import Attached
from tiphys.scheduler.groups import Groups
from tiphys.scheduler.holders import Holders
from tiphys.scheduler.nodes import NodeTable
from tiphys.scheduler.priorities import Priorities
from tiphys.scheduler.siblings import Siblings
from tiphys.scheduler.terms import Namespaces
from tiphys.scheduler.topology import Topology


class World:
    """The ledger keeps groups, holders, priorities and attached volumes; the scheduler's handlers the rest."""

    def __init__(self, table: NodeTable) -> None:
        self.table = table
        self.topology = Topology(table)
        self.namespaces = Namespaces()
        self.groups = Groups(table, self.namespaces)
        self.holders = Holders(table)
        self.priorities = Priorities(table)
        self.siblings = Siblings()
        self.attached = Attached(table)
