"""Gather who names a VolumeAttributesClass and perform its plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.api import resources
from tiphys.controllers.vacprotection.plan import CLASSES, named_by, plan
from tiphys.reconcile.commands import Performed
from tiphys.reconcile.loop import Key, Loop, own_key
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

CLAIMS = resources.get("", "v1", "persistentvolumeclaims")
VOLUMES = resources.get("", "v1", "persistentvolumes")
BY_CLASS = "volume attributes class"


class VacProtectionController:
    """Writes the finalizer `kubernetes.io/vac-protection`."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        of = tools.informers.of
        self._classes, self._claims, self._volumes = of(CLASSES), of(CLAIMS), of(VOLUMES)
        self._claims.add_index(BY_CLASS, named_by)
        self._volumes.add_index(BY_CLASS, named_by)
        sources = {self._classes: own_key, self._claims: _let_go, self._volumes: _let_go}
        self._loop = Loop("volumeattributesclass-protection-controller", self._reconcile, sources)

    async def run(self) -> None:
        await self._loop.run()

    async def _reconcile(self, key: Key) -> Performed | None:
        found = self._classes.get(*key)
        if found is None:
            return None
        users = [*self._claims.by(BY_CLASS, key[1]), *self._volumes.by(BY_CLASS, key[1])]
        return await self._tools.perform(plan(found, users))


def _let_go(old: Object | None, new: Object | None) -> Iterable[Key]:
    """A class that is no longer named may go."""
    before, after = (named_by(one) if one is not None else set() for one in (old, new))
    yield from (("", name) for name in before - after)
