"""Gather the ClusterRoles and perform the plan of those that gather rules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.controllers.clusterroleaggregation.plan import CLUSTER_ROLES, is_aggregated, plan
from tiphys.reconcile.commands import Performed
from tiphys.reconcile.loop import Key, Loop
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]


class ClusterRoleAggregationController:
    """Writes the rules of aggregated ClusterRoles; nobody else does."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._roles = tools.informers.of(CLUSTER_ROLES)
        self._loop = Loop("clusterrole-aggregation-controller", self._reconcile, {self._roles: self._gathering})

    async def run(self) -> None:
        await self._loop.run()

    async def _reconcile(self, key: Key) -> Performed | None:
        role = self._roles.get(*key)
        if role is None:
            return None
        return await self._tools.perform(plan(role, list(self._roles.list())))

    def _gathering(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        """Any role may have been labelled for any aggregated one; there are few of those."""
        for role in self._roles.list():
            if is_aggregated(role):
                yield "", role["metadata"]["name"]
