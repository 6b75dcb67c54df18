"""Gather a Service's facts and perform its plan."""

from __future__ import annotations

from typing import Any

from tiphys.api import resources
from tiphys.api.services import selects
from tiphys.controllers.endpoints.plan import ENDPOINTS, plan
from tiphys.reconcile.commands import Performed
from tiphys.reconcile.loop import Key, Loop, own_key
from tiphys.reconcile.services import services_of_pod
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

PODS = resources.get("", "v1", "pods")
SERVICES = resources.get("", "v1", "services")


class EndpointsController:
    """Writes the Endpoints of Services with a selector."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._services = tools.informers.of(SERVICES)
        self._pods = tools.informers.of(PODS)
        self._endpoints = tools.informers.of(ENDPOINTS)
        sources = {
            self._services: own_key,
            self._pods: services_of_pod(self._services),
            self._endpoints: own_key,
        }
        self._loop = Loop("endpoint-controller", self._reconcile, sources)

    async def run(self) -> None:
        await self._loop.run()

    async def _reconcile(self, key: Key) -> Performed | None:
        service = self._services.get(*key)
        if service is None or not service["spec"].get("selector") or service["spec"].get("type") == "ExternalName":
            return None
        pods = [pod for pod in self._pods.list(key[0]) if selects(service, pod)]
        return await self._tools.perform(plan(service, pods, self._endpoints.get(*key)))
