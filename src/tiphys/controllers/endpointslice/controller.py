"""Gather a Service's facts and perform its plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import labels_of
from tiphys.api.services import selects
from tiphys.controllers.endpointslice.plan import ENDPOINTSLICES, MANAGED_BY, MANAGER, SERVICE_NAME, SERVICES, plan
from tiphys.reconcile.commands import Performed
from tiphys.reconcile.loop import Key, Loop, own_key
from tiphys.reconcile.services import services_of_pod
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

PODS = resources.get("", "v1", "pods")
BY_SERVICE = "service"


def service_index(piece: Object) -> Iterable[str]:
    """Files a slice under `namespace/service`."""
    service = labels_of(piece).get(SERVICE_NAME)
    if service:
        yield f"{piece['metadata']['namespace']}/{service}"


class EndpointSliceController:
    """Writes the EndpointSlices of Services with a selector."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._services = tools.informers.of(SERVICES)
        self._pods = tools.informers.of(PODS)
        self._slices = tools.informers.of(ENDPOINTSLICES)
        self._slices.add_index(BY_SERVICE, service_index)
        sources = {
            self._services: own_key,
            self._pods: services_of_pod(self._services),
            self._slices: keys_of_slice,
        }
        self._loop = Loop("endpointslice-controller", self._reconcile, sources)

    async def run(self) -> None:
        await self._loop.run()

    async def _reconcile(self, key: Key) -> Performed | None:
        service = self._services.get(*key)
        if service is None or not service["spec"].get("selector") or service["spec"].get("type") == "ExternalName":
            return None
        pods = [pod for pod in self._pods.list(key[0]) if selects(service, pod)]
        held = [piece for piece in self._slices.by(BY_SERVICE, "/".join(key)) if is_ours(piece)]
        return await self._tools.perform(plan(service, pods, held))


def is_ours(piece: Object) -> bool:
    return labels_of(piece).get(MANAGED_BY) == MANAGER


def keys_of_slice(old: Object | None, new: Object | None) -> Iterable[Key]:
    """The Service of a slice, where it is this controller's."""
    for piece in (old, new):
        if piece is not None and is_ours(piece):
            yield piece["metadata"]["namespace"], labels_of(piece).get(SERVICE_NAME, "")
