"""ReplicationControllers select their pods by a map of labels; the rest is what every keeper of equal pods does."""

from __future__ import annotations

from typing import Any

from tiphys.api.selectors import Selector, from_label_selector
from tiphys.controllers.replicationcontroller.plan import REPLICATION_CONTROLLERS, plan
from tiphys.reconcile.replica_keeper import ReplicaKeeper
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]


class ReplicationControllerController:
    """Writes pods, and the status of ReplicationControllers."""

    def __init__(self, tools: Tools) -> None:
        self._keeper = ReplicaKeeper(tools, REPLICATION_CONTROLLERS, selector_of, plan)

    async def run(self) -> None:
        await self._keeper.run()


def selector_of(controller: Object) -> Selector:
    return from_label_selector({"matchLabels": controller["spec"].get("selector") or {}})
