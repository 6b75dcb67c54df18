"""Perform the plan of each volume."""

from __future__ import annotations

from tiphys.controllers.pvprotection.plan import VOLUMES, plan
from tiphys.reconcile.commands import Performed
from tiphys.reconcile.loop import Key, Loop, own_key
from tiphys.reconcile.tools import Tools


class PvProtectionController:
    """Writes the finalizer `kubernetes.io/pv-protection`."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._volumes = tools.informers.of(VOLUMES)
        self._loop = Loop("persistentvolume-protection-controller", self._reconcile, {self._volumes: own_key})

    async def run(self) -> None:
        await self._loop.run()

    async def _reconcile(self, key: Key) -> Performed | None:
        volume = self._volumes.get(*key)
        return None if volume is None else await self._tools.perform(plan(volume))
