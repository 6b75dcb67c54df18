"""Gather the claims of a pod's ephemeral volumes and perform its plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import controller_of, key_of, namespace_of
from tiphys.api.storage import ephemeral_claim
from tiphys.controllers.ephemeralvolume.plan import CLAIMS, plan
from tiphys.reconcile.commands import Performed
from tiphys.reconcile.loop import Key, Loop
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

PODS = resources.get("", "v1", "pods")


class EphemeralVolumeController:
    """Makes claims; the garbage collector removes them with their pods."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._pods, self._claims = tools.informers.of(PODS), tools.informers.of(CLAIMS)
        sources = {self._pods: _own_key, self._claims: _pod_of_claim}
        self._loop = Loop("ephemeral-volume-controller", self._reconcile, sources)

    async def run(self) -> None:
        await self._loop.run()

    async def _reconcile(self, key: Key) -> Performed | None:
        pod = self._pods.get(*key)
        if pod is None:
            return None
        names = [ephemeral_claim(pod, volume) for volume in _ephemeral(pod)]
        held = {name: self._claims.get(namespace_of(pod), name) for name in names}
        return await self._tools.perform(plan(pod, {name: claim for name, claim in held.items() if claim is not None}))


def _ephemeral(pod: Object) -> Iterable[Object]:
    return (volume for volume in pod["spec"].get("volumes") or () if volume.get("ephemeral") is not None)


def _own_key(old: Object | None, new: Object | None) -> Iterable[Key]:
    if new is not None and any(_ephemeral(new)):
        yield key_of(new)


def _pod_of_claim(old: Object | None, new: Object | None) -> Iterable[Key]:
    """A claim that was deleted under its pod is made again."""
    owner = controller_of(old) if old is not None and new is None else None
    if owner is not None and owner["kind"] == "Pod" and old is not None:
        yield namespace_of(old), owner["name"]
