"""
Build the API server: one Handler over one store.

`ApiServer` owns the cache and puts the parts together; who may speak, what is admitted and how nodes are reached are
given to it (`Extras`), because their settings are the cluster's. The order of life: `start` reads the store, `run`
follows it, `boot` writes the objects every cluster has.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tiphys.api import resources
from tiphys.api.resources import Resource
from tiphys.apiserver import boot
from tiphys.apiserver.addresses import AddressObjects
from tiphys.apiserver.allocators import DEFAULT_SERVICE_CIDR, NODE_PORTS, ServiceAllocator
from tiphys.apiserver.cache import Cache
from tiphys.apiserver.call import Admission, Page, Review
from tiphys.apiserver.chain import Chain, Guards
from tiphys.apiserver.dispatch import Dispatcher, Verb
from tiphys.apiserver.expiry import EventExpiry
from tiphys.apiserver.extensions import Extension
from tiphys.apiserver.parts import Admitted, Parts
from tiphys.apiserver.records import NoSealer, Record, Sealer
from tiphys.apiserver.routing import Router
from tiphys.apiserver.service_ranges import ADDRESSES, RANGES
from tiphys.apiserver.subresources.binding import bind, bind_named
from tiphys.apiserver.subresources.connect import Connector, Reach, Unreachable
from tiphys.apiserver.subresources.eviction import evict
from tiphys.apiserver.subresources.scale import get_scale, patch_scale, update_scale
from tiphys.store.door import Store
from tiphys.wire.messages import Request, Response

SERVICES = resources.get("", "v1", "services")


@dataclass(frozen=True, slots=True)
class Settings:
    """
    `advertise_address` is where pods reach this server; empty writes no endpoints. `local_storage`: the class of the
    built-in provisioner is made, because somebody is there who provisions.
    """

    advertise_address: str = ""
    advertise_port: int = 6443
    service_cidr: str = DEFAULT_SERVICE_CIDR
    node_ports: tuple[int, int] = NODE_PORTS
    local_storage: bool = False


@dataclass(frozen=True, slots=True)
class Extras:
    """What the other parts of the room and the cluster give."""

    guards: Guards = field(default_factory=Guards)
    admission: Admission = field(default_factory=Admitted)
    reviews: Mapping[tuple[str, str], Review] = field(default_factory=dict)
    pages: Sequence[Page] = ()
    reach: Reach = field(default_factory=Unreachable)
    extension: Extension = field(default_factory=Extension)


class ApiServer:
    """The Handler is `handle`; `cache` is the Reader that admission and authorization look at."""

    def __init__(
        self,
        store: Store,
        settings: Settings | None = None,
        *,
        sealer: Sealer | None = None,
        extras: Callable[[Cache], Extras] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings or Settings()
        self.cache = Cache(store, sealer)
        given = extras(self.cache) if extras is not None else Extras()
        self._services = ServiceAllocator(self.settings.service_cidr, self.settings.node_ports)
        parts = Parts(
            store, self.cache, sealer or NoSealer(), given.admission, given.reviews, now=now, services=self._services
        )
        self._expiry = EventExpiry(parts)
        self._addresses = AddressObjects(self._services, self.cache)
        self._extension = given.extension
        router = Router(given.extension.find, given.extension.has_group)
        self._aggregator = given.extension.aggregator
        if self._aggregator is not None:
            self._aggregator.listeners.append(router.forget)
        special = {**special_verbs(given.reach), **given.extension.verbs}
        self._chain = Chain(router, Dispatcher(parts, special), given.guards, given.pages)

    def handle(self, request: Request) -> Awaitable[Response]:
        """Answer one request."""
        return self._chain(request)

    async def start(self) -> None:
        """Read what is stored; requests can be answered afterwards."""
        await self.cache.load()
        services, addresses, ranges = (self._records(each) for each in (SERVICES, ADDRESSES, RANGES))
        self._services.ranges.load([*ranges, *addresses])
        self._services.load(services)
        self._addresses.load(services, addresses)
        self._expiry.load(self.cache.collection(resources.get("", "v1", "events")).records)
        self.cache.listeners += [self._services.follow, self._addresses.follow, self._expiry.follow]

    async def run(self) -> None:
        """Follow the store until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.cache.run())
            tasks.create_task(self._expiry.run())
            tasks.create_task(self._addresses.run(self.handle))
            if self._aggregator is not None:
                tasks.create_task(self._aggregator.run(self.handle))

    def _records(self, resource: Resource) -> Sequence[Record]:
        return self.cache.collection(resource).records

    async def boot(self) -> None:
        """Write the objects that every cluster has; needs `run` to be under way."""
        settings = self.settings
        advertised = boot.Advertised(settings.advertise_address, settings.advertise_port, settings.service_cidr)
        await boot.boot(self.handle, self.cache, advertised, local_storage=settings.local_storage)
        await boot.register(self.handle, self.cache, self._extension.served())
        if self._aggregator is not None:
            await self._aggregator.boot(self.handle)
        await self._addresses.settled()

    def drain(self) -> None:
        """Finish all watches, so that connections can close."""
        self.cache.end_watches()


def special_verbs(reach: Reach) -> dict[tuple[str, str, str], Verb]:
    """The subresources that are no object seen through the generic verbs."""
    table: dict[tuple[str, str, str], Verb] = {
        ("", "pods/binding", "create"): bind,
        ("", "bindings", "create"): bind_named,
        ("", "pods/eviction", "create"): evict,
    }
    for resource in resources.builtin():
        if resource.name.endswith("/scale"):
            table[(resource.group, resource.name, "get")] = get_scale
            table[(resource.group, resource.name, "update")] = update_scale
            table[(resource.group, resource.name, "patch")] = patch_scale
    table.update(_connecting(Connector(reach)))
    return table


def _connecting(connector: Connector) -> dict[tuple[str, str, str], Verb]:
    table: dict[tuple[str, str, str], Verb] = {("", "pods/log", "get"): connector.log}
    for verb in ("get", "create"):
        table[("", "pods/exec", verb)] = connector.exec_
        table[("", "pods/attach", verb)] = connector.attach
        table[("", "pods/portforward", verb)] = connector.portforward
    for name in ("pods/proxy", "services/proxy", "nodes/proxy"):
        for verb in ("get", "create", "update", "patch", "delete"):
            table[("", name, verb)] = connector.proxy
    return table
