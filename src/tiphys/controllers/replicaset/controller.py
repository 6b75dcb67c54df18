"""ReplicaSets select their pods by label selectors; the rest is what every keeper of equal pods does."""

from __future__ import annotations

from typing import Any

from tiphys.api.selectors import Selector, from_label_selector
from tiphys.controllers.replicaset.plan import REPLICASETS, plan
from tiphys.reconcile.replica_keeper import ReplicaKeeper
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]


class ReplicaSetController:
    """Writes pods, and the status of ReplicaSets."""

    def __init__(self, tools: Tools) -> None:
        self._keeper = ReplicaKeeper(tools, REPLICASETS, selector_of, plan)

    async def run(self) -> None:
        await self._keeper.run()


def selector_of(replicaset: Object) -> Selector:
    return from_label_selector(replicaset["spec"]["selector"])
