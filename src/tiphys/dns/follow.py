"""
Keep the zone in step with Services, EndpointSlices and Namespaces.

Woken by events; all that came within one turn of the loop is worked off together, each Service once. The zone itself
finds out whether anything changed: ready pods of a Service with an address of its own change nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any

from tiphys.api.objects import key_of, labels_of, namespace_of
from tiphys.api.resources import Resource, get
from tiphys.client.informer import Informer
from tiphys.dns import records
from tiphys.dns.zone import Zone

Object = dict[str, Any]
log = logging.getLogger(__name__)

SERVICES: Resource = get("", "v1", "services")
ENDPOINT_SLICES: Resource = get("discovery.k8s.io", "v1", "endpointslices")
NAMESPACES: Resource = get("", "v1", "namespaces")
SERVICE_NAME_LABEL = "kubernetes.io/service-name"
INDEX = "service"


class Follower:
    """`informer_of` gives shared informers; whoever owns them runs them. `synced` is set once the zone is whole."""

    def __init__(self, zone: Zone, informer_of: Callable[[Resource], Informer]) -> None:
        self._zone = zone
        self._services = informer_of(SERVICES)
        self._slices = informer_of(ENDPOINT_SLICES)
        self._namespaces = informer_of(NAMESPACES)
        self._slices.add_index(INDEX, _service_names)
        self._dirty: set[tuple[str, str]] = set()
        self._wake = asyncio.Event()
        self.synced = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled."""
        for informer in (self._services, self._slices, self._namespaces):
            await informer.synced()
        self._namespaces.on_event(self._namespace_changed)
        self._services.on_event(self._service_changed)
        self._slices.on_event(self._slice_changed)
        while True:
            self._write()
            self.synced.set()
            await self._wake.wait()
            # Let the other events of this turn in.
            await asyncio.sleep(0)

    def _write(self) -> None:
        self._wake.clear()
        dirty, self._dirty = self._dirty, set()
        for key in dirty:
            service = self._services.get(*key)
            owner = ("service", *key)
            if service is None:
                self._zone.remove(owner)
                continue
            slices = self._slices.by(INDEX, "/".join(key))
            try:
                self._zone.put(owner, records.of_service(service, slices, self._zone.domain))
            except (KeyError, TypeError, ValueError):
                log.exception("the records of Service %s/%s cannot be made", *key)

    def _namespace_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._zone.put(("namespace", key_of(new)[1]), [], records.of_namespace(new, self._zone.domain))
        elif old is not None:
            self._zone.remove(("namespace", key_of(old)[1]))

    def _service_changed(self, old: Object | None, new: Object | None) -> None:
        for obj in (old, new):
            if obj is not None:
                self._mark(key_of(obj))

    def _slice_changed(self, old: Object | None, new: Object | None) -> None:
        for obj in (old, new):
            for name in _service_names(obj) if obj is not None else ():
                namespace, _, service = name.partition("/")
                self._mark((namespace, service))

    def _mark(self, key: tuple[str, str]) -> None:
        self._dirty.add(key)
        self._wake.set()


def _service_names(piece: Object) -> Iterable[str]:
    name = labels_of(piece).get(SERVICE_NAME_LABEL)
    return (f"{namespace_of(piece)}/{name}",) if name else ()
