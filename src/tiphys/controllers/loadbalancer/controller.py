"""Gather a Service's facts and perform its plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import key_of
from tiphys.controllers.loadbalancer.plan import SERVICES, addresses, plan
from tiphys.reconcile.commands import Performed
from tiphys.reconcile.loop import Key, Loop, own_key
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

NODES = resources.get("", "v1", "nodes")


class LoadBalancerController:
    """Writes `status.loadBalancer` of Services."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._services = tools.informers.of(SERVICES)
        self._nodes = tools.informers.of(NODES)
        sources = {self._services: own_key, self._nodes: self._keys_of_node}
        self._loop = Loop("service-lb-controller", self._reconcile, sources)

    async def run(self) -> None:
        await self._loop.run()

    def _keys_of_node(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        before = addresses([old]) if old is not None else []
        after = addresses([new]) if new is not None else []
        if before != after:
            for service in self._services.list():
                if service["spec"].get("type") == "LoadBalancer":
                    yield key_of(service)

    async def _reconcile(self, key: Key) -> Performed | None:
        service = self._services.get(*key)
        if service is None:
            return None
        return await self._tools.perform(plan(service, list(self._nodes.list())))
