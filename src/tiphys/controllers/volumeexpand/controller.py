"""Gather a claim, its volume and its class, and perform the plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.api import resources, storage
from tiphys.controllers.volumeexpand.plan import CLAIMS, VOLUMES, plan
from tiphys.reconcile.commands import Performed
from tiphys.reconcile.loop import Key, Loop, own_key
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

CLASSES = resources.get("storage.k8s.io", "v1", "storageclasses")


class VolumeExpandController:
    """Writes the capacity of local-path volumes, and what a claim waits for."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        of = tools.informers.of
        self._claims, self._volumes, self._classes = of(CLAIMS), of(VOLUMES), of(CLASSES)
        sources = {self._claims: own_key, self._volumes: _claim_of_volume}
        self._loop = Loop("expand-controller", self._reconcile, sources, reads=(self._classes,))

    async def run(self) -> None:
        await self._loop.run()

    async def _reconcile(self, key: Key) -> Performed | None:
        claim = self._claims.get(*key)
        if claim is None or not claim["spec"].get("volumeName"):
            return None
        volume = self._volumes.get("", claim["spec"]["volumeName"])
        storage_class = self._classes.get("", storage.class_of(claim))
        return await self._tools.perform(plan(claim, volume, storage_class, self._tools.now()))


def _claim_of_volume(old: Object | None, new: Object | None) -> Iterable[Key]:
    ref = ((new or {}).get("spec") or {}).get("claimRef")
    if ref:
        yield ref["namespace"], ref["name"]
