"""
Keep one IPAddress object for each address that a Service holds, so that everybody sees who has it.

The Services say who holds what (allocators.py); this follows them and writes the objects a moment later, through the
API itself. Whatever was missed while the server was down is found at the next start. Rejected: the object as the lock
that Kubernetes takes before it writes the Service. One process allocates here, and its memory is lock enough.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

import orjson

from tiphys.api import errors
from tiphys.api.objects import labels_of
from tiphys.apiserver.allocators import ServiceAllocator, addresses_of
from tiphys.apiserver.cache import Cache
from tiphys.apiserver.call import Object
from tiphys.apiserver.records import Record, prefix_of
from tiphys.apiserver.service_ranges import ADDRESSES, MANAGED_BY, MANAGER
from tiphys.apiserver.watchers import Change
from tiphys.wire.messages import Handler, Identity, Request

log = logging.getLogger(__name__)

RETRY_SECONDS = 30.0
_SELF = Identity("system:apiserver", ("system:masters", "system:authenticated"))
_FAMILY = "ipaddress.kubernetes.io/ip-family"
_HEADERS = {"content-type": "application/json", "user-agent": "ipallocator.k8s.io"}


class AddressObjects:
    """`follow` is a listener of the cache; `run` writes."""

    def __init__(self, services: ServiceAllocator, cache: Cache) -> None:
        self._services, self._cache = services, cache
        self._due: dict[str, None] = {}  # addresses, in the order in which they came
        self._arrived, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()

    def load(self, services: Iterable[Record], objects: Iterable[Record]) -> None:
        """Look once at all that is stored."""
        held = {address for record in services for address in addresses_of(record.object)}
        told = {record.key.rpartition("/")[2] for record in objects}
        self._look_at(sorted(held | told))

    def follow(self, change: Change) -> None:
        """A Service took an address or gave one back, or somebody removed an address's object."""
        if change.record.key.startswith(self._services.prefix):
            before = set(addresses_of(change.previous.object)) if change.previous is not None else set()
            after = set() if change.deleted else set(addresses_of(change.record.object))
            self._look_at(sorted(before ^ after))
        elif change.deleted and change.record.key.startswith(prefix_of(ADDRESSES)):
            self._look_at([change.record.key.rpartition("/")[2]])

    async def settled(self) -> None:
        """Wait until all that is due is written."""
        await self._idle.wait()

    async def run(self, handler: Handler) -> None:
        """Write until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._due:
                address = next(iter(self._due))
                del self._due[address]
                try:
                    await self._write(handler, address)
                except errors.StatusError as error:
                    log.warning("cannot write the IPAddress %s: %s", address, error)
                    asyncio.get_running_loop().call_later(RETRY_SECONDS, self._look_at, [address])
            self._idle.set()

    def _look_at(self, addresses: Iterable[str]) -> None:
        for address in addresses:
            self._due[address] = None
        if self._due:
            self._idle.clear()
            self._arrived.set()

    async def _write(self, handler: Handler, address: str) -> None:
        await self._cache.caught_up()
        holder = self._services.holder_of(address)
        present = self._cache.get(ADDRESSES.group, ADDRESSES.name, "", address)
        if present is not None and labels_of(present).get(MANAGED_BY) != MANAGER:
            return
        wanted = _object(address, holder) if holder else None
        if present is not None and (wanted is None or present["spec"] != wanted["spec"]):
            await _send(handler, "DELETE", ADDRESSES.path("", address))
            present = None
        if wanted is not None and present is None:
            await _send(handler, "POST", ADDRESSES.path(), wanted)


def _object(address: str, service: tuple[str, str]) -> Object:
    labels = {_FAMILY: "IPv6" if ":" in address else "IPv4", MANAGED_BY: MANAGER}
    namespace, name = service
    parent = {"resource": "services", "namespace": namespace, "name": name}
    return {"metadata": {"name": address, "labels": labels}, "spec": {"parentRef": parent}}


async def _send(handler: Handler, method: str, path: str, obj: Object | None = None) -> None:
    body = b"" if obj is None else orjson.dumps(obj)
    response = await handler(Request(method, path, _HEADERS, body, identity=_SELF))
    if response.status >= 400 and response.status not in (404, 409):
        assert isinstance(response.body, bytes)
        raise errors.StatusError(orjson.loads(response.body))
