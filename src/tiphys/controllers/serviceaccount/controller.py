"""Gather a namespace's facts and perform its plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.api import resources
from tiphys.client.client import Client
from tiphys.client.events import Recorder
from tiphys.client.informer import Informers
from tiphys.controllers.serviceaccount.plan import DEFAULT, SERVICE_ACCOUNTS, plan
from tiphys.reconcile.commands import Performed, perform
from tiphys.reconcile.loop import Key, Loop, own_key

Object = dict[str, Any]

NAMESPACES = resources.get("", "v1", "namespaces")


class ServiceAccountController:
    """Writes the default ServiceAccount of each namespace."""

    def __init__(self, client: Client, informers: Informers, recorder: Recorder) -> None:
        self._client = client
        self._recorder = recorder
        self._namespaces = informers.of(NAMESPACES)
        self._accounts = informers.of(SERVICE_ACCOUNTS)
        sources = {self._namespaces: own_key, self._accounts: _namespace_of_lost}
        self._loop = Loop("service-account-controller", self._reconcile, sources)

    async def run(self) -> None:
        await self._loop.run()

    async def _reconcile(self, key: Key) -> Performed | None:
        namespace = self._namespaces.get(*key)
        if namespace is None:
            return None
        return await perform(self._client, self._recorder, plan(namespace, self._accounts.get(key[1], DEFAULT)))


def _namespace_of_lost(old: Object | None, new: Object | None) -> Iterable[Key]:
    """Only a default account that went away matters."""
    if new is None and old is not None and old["metadata"]["name"] == DEFAULT:
        yield "", old["metadata"]["namespace"]
