"""Gather the facts of hand-written Endpoints and perform their plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import labels_of
from tiphys.client.client import Client
from tiphys.client.events import Recorder
from tiphys.client.informer import Informers
from tiphys.controllers.endpointslicemirroring.plan import ENDPOINTSLICES, MANAGED_BY, MANAGER, SERVICE_NAME, plan
from tiphys.reconcile.commands import Performed, perform
from tiphys.reconcile.loop import Key, Loop, own_key

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

    def __init__(self, client: Client, informers: Informers, recorder: Recorder) -> None:
        self._client = client
        self._recorder = recorder
        self._services = informers.of(SERVICES)
        self._endpoints = informers.of(ENDPOINTS)
        self._slices = informers.of(ENDPOINTSLICES)
        self._slices.add_index(BY_MIRRORED, mirrored_index)
        sources = {self._endpoints: own_key, self._services: own_key, self._slices: _keys_of_slice}
        self._loop = Loop("endpointslicemirroring-controller", self._reconcile, sources)

    async def run(self) -> None:
        await self._loop.run()

    async def _reconcile(self, key: Key) -> Performed | None:
        held = list(self._slices.by(BY_MIRRORED, "/".join(key)))
        commands = plan(self._services.get(*key), self._endpoints.get(*key), held)
        return await perform(self._client, self._recorder, commands)


def _keys_of_slice(old: Object | None, new: Object | None) -> Iterable[Key]:
    for piece in (old, new):
        if piece is not None and labels_of(piece).get(MANAGED_BY) == MANAGER:
            yield piece["metadata"]["namespace"], labels_of(piece).get(SERVICE_NAME, "")
