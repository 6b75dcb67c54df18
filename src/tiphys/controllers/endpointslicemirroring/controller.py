"""Gather the facts of hand-written Endpoints and perform their plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import labels_of
from tiphys.controllers.endpointslicemirroring.plan import ENDPOINTSLICES, MANAGED_BY, MANAGER, SERVICE_NAME, plan
from tiphys.reconcile.commands import Performed
from tiphys.reconcile.loop import Key, Loop, own_key
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

ENDPOINTS = resources.get("", "v1", "endpoints")
SERVICES = resources.get("", "v1", "services")
BY_MIRRORED = "mirrored"


def mirrored_index(piece: Object) -> Iterable[str]:
    """Files a mirrored slice under `namespace/service`."""
    if labels_of(piece).get(MANAGED_BY) == MANAGER:
        yield f"{piece['metadata']['namespace']}/{labels_of(piece).get(SERVICE_NAME, '')}"


class EndpointSliceMirroringController:
    """Writes the EndpointSlices of Services without a selector."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._services = tools.informers.of(SERVICES)
        self._endpoints = tools.informers.of(ENDPOINTS)
        self._slices = tools.informers.of(ENDPOINTSLICES)
        self._slices.add_index(BY_MIRRORED, mirrored_index)
        sources = {self._endpoints: own_key, self._services: own_key, self._slices: _keys_of_slice}
        self._loop = Loop("endpointslicemirroring-controller", self._reconcile, sources)

    async def run(self) -> None:
        await self._loop.run()

    async def _reconcile(self, key: Key) -> Performed | None:
        held = list(self._slices.by(BY_MIRRORED, "/".join(key)))
        commands = plan(self._services.get(*key), self._endpoints.get(*key), held)
        return await self._tools.perform(commands)


def _keys_of_slice(old: Object | None, new: Object | None) -> Iterable[Key]:
    for piece in (old, new):
        if piece is not None and labels_of(piece).get(MANAGED_BY) == MANAGER:
            yield piece["metadata"]["namespace"], labels_of(piece).get(SERVICE_NAME, "")
