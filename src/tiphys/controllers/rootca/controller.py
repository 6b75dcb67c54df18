"""Gather a namespace's facts and perform its plan."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from tiphys.api import resources
from tiphys.controllers.rootca.plan import CONFIG_MAPS, NAME, plan
from tiphys.reconcile.commands import Performed
from tiphys.reconcile.loop import Key, Loop, own_key
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

NAMESPACES = resources.get("", "v1", "namespaces")


class RootCaController:
    """
    Writes `kube-root-ca.crt`. It watches ConfigMaps of that one name, so that others cost it nothing; `bundle` is the
    PEM of the authorities that clients shall trust.
    """

    def __init__(self, tools: Tools, bundle: str) -> None:
        self._tools = tools
        self._bundle = bundle
        self._namespaces = tools.informers.of(NAMESPACES)
        self._published = tools.informers.apart(CONFIG_MAPS, field_selector=f"metadata.name={NAME}")
        sources = {self._namespaces: own_key, self._published: _namespace}
        self._loop = Loop("root-ca-certificate-publisher-controller", self._reconcile, sources)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._published.run())
            group.create_task(self._loop.run())

    async def _reconcile(self, key: Key) -> Performed | None:
        namespace = self._namespaces.get(*key)
        if namespace is None:
            return None
        commands = plan(namespace, self._published.get(key[1], NAME), self._bundle)
        return await self._tools.perform(commands)


def _namespace(old: Object | None, new: Object | None) -> Iterable[Key]:
    obj = new if new is not None else old
    if obj is not None:
        yield "", obj["metadata"]["namespace"]
