"""Gather a namespace's facts and perform its plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.api import resources
from tiphys.controllers.serviceaccount.plan import DEFAULT, SERVICE_ACCOUNTS, plan
from tiphys.reconcile.commands import Performed
from tiphys.reconcile.loop import Key, Loop, own_key
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

NAMESPACES = resources.get("", "v1", "namespaces")


class ServiceAccountController:
    """Writes the default ServiceAccount of each namespace."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._namespaces = tools.informers.of(NAMESPACES)
        self._accounts = tools.informers.of(SERVICE_ACCOUNTS)
        sources = {self._namespaces: own_key, self._accounts: _namespace_of_lost}
        self._loop = Loop("service-account-controller", self._reconcile, sources)

    async def run(self) -> None:
        await self._loop.run()

    async def _reconcile(self, key: Key) -> Performed | None:
        namespace = self._namespaces.get(*key)
        if namespace is None:
            return None
        return await self._tools.perform(plan(namespace, self._accounts.get(key[1], DEFAULT)))


def _namespace_of_lost(old: Object | None, new: Object | None) -> Iterable[Key]:
    """Only a default account that went away matters."""
    if new is None and old is not None and old["metadata"]["name"] == DEFAULT:
        yield "", old["metadata"]["namespace"]
