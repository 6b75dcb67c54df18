"""
The Network on a Linux kernel: a bridge, veth pairs, pinned namespaces, and rules for what leaves and enters.

A pod's address is a /32 and its only route leads to the gateway, so that each packet passes the host's IP layer, also
between two pods of this machine: address translation then sees both directions without bridge netfilter, which a host
may lack. Namespaces are prepared ahead; `acquire` takes one that is ready, writes a file and is done.

Kernel work that blocks (making namespaces, removing links) runs in this room's own threads, because switching
namespaces is a property of the thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tiphys.network import base_rules, links, namespaces, sysctls
from tiphys.network.addresses import Addresses
from tiphys.network.door import AddressesExhausted, Lease, NotPermitted, PortForward, PortTaken
from tiphys.network.leases import LeaseFiles, LeaseRecord
from tiphys.network.netlink import Netlink
from tiphys.network.packets import PacketTable, remove_table
from tiphys.network.settings import NetworkSettings

T = TypeVar("T")
log = logging.getLogger(__name__)

# Removing a link waits in the kernel; a second thread keeps new namespaces coming meanwhile.
THREADS = 3


@dataclass(frozen=True, slots=True)
class Prepared:
    """A namespace that is ready to be leased. The id carries the address, so that a restart finds it again."""

    id: str
    address: str


class KernelNetwork:
    """The Network door, for real. Needs root."""

    def __init__(self, settings: NetworkSettings) -> None:
        self._settings = settings
        self._files = LeaseFiles(settings.leases_dir)
        self._table = PacketTable(settings.table)
        self._addresses = Addresses(settings.subnet)
        self._records: dict[str, LeaseRecord] = {}
        self._ready: deque[Prepared] = deque()
        self._threads: ThreadPoolExecutor | None = None
        self._bridge = 0
        self._mtu = 0
        self._refill: asyncio.Task[None] | None = None
        self._releasing: dict[str, asyncio.Task[None]] = {}

    # the door

    async def open(self) -> None:
        """Make or find everything; adopt the leases and prepared namespaces of an earlier process. Idempotent."""
        if self._threads is not None:
            return
        self._threads = ThreadPoolExecutor(THREADS, "network")
        try:
            await self._in_thread(self._prepare_host)
            await self._in_thread(self._adopt)
            await self._table.open()
            await self._table.replace(
                base_rules.ruleset(self._settings, self._records.values(), self._ready_addresses())
            )
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EACCES):
                raise NotPermitted(f"{error}; pod networking needs root") from error
            raise
        self._start_refill()

    async def acquire(self, owner: str, ports: Sequence[PortForward] = ()) -> Lease:
        leaving = self._releasing.get(owner)
        if leaving is not None:
            await asyncio.shield(leaving)
        held = self._records.get(owner)
        if held is not None:
            return held.lease
        self._refuse_taken_ports(ports)
        prepared = await self._take()
        held = self._records.get(owner)
        if held is not None:  # somebody else asked for the same owner while we waited
            self._ready.append(prepared)
            return held.lease
        record = self._record(owner, prepared, tuple(ports))
        self._records[owner] = record
        self._start_refill()
        try:
            self._files.save(record)
            await self._table.apply(base_rules.forwards(record))
        except BaseException:
            del self._records[owner]
            self._files.remove(prepared.id)
            self._ready.append(prepared)
            raise
        return record.lease

    async def release(self, owner: str) -> None:
        leaving = self._releasing.get(owner)
        if leaving is None:
            record = self._records.get(owner)
            if record is None:
                return
            leaving = self._releasing[owner] = asyncio.create_task(self._release(record), name=f"release {owner}")
            leaving.add_done_callback(lambda _: self._releasing.pop(owner, None))
        await asyncio.shield(leaving)

    async def leases(self) -> Sequence[Lease]:
        return [record.lease for record in self._records.values()]

    async def close(self) -> None:
        if self._refill is not None:
            self._refill.cancel()
            await asyncio.gather(self._refill, return_exceptions=True)
            self._refill = None
        if self._releasing:
            await asyncio.gather(*self._releasing.values(), return_exceptions=True)
        await self._table.close()
        if self._threads is not None:
            threads, self._threads = self._threads, None
            await asyncio.to_thread(threads.shutdown)
        self._records.clear()
        self._ready.clear()

    async def purge(self) -> None:
        """Remove everything that any process with these settings made, also without `open`."""
        await self.close()
        self._threads = ThreadPoolExecutor(THREADS, "network")
        try:
            await self._in_thread(self._remove_all)
        finally:
            threads, self._threads = self._threads, None
            await asyncio.to_thread(threads.shutdown)

    # leases

    def _record(self, owner: str, prepared: Prepared, ports: tuple[PortForward, ...]) -> LeaseRecord:
        path = str(self._settings.namespaces_dir / prepared.id)
        lease = Lease(owner, path, prepared.address, self._settings.gateway, host_interface(prepared.id))
        return LeaseRecord(prepared.id, lease, ports)

    def _refuse_taken_ports(self, ports: Sequence[PortForward]) -> None:
        for record in self._records.values():
            for wanted in ports:
                if any(wanted.collides(other) for other in record.ports):
                    raise PortTaken(f"host port {wanted.host_port}/{wanted.protocol} is in use by {record.lease.owner}")

    async def _release(self, record: LeaseRecord) -> None:
        """Each step may be repeated; the file goes last, so that an interrupted release is found and done again."""
        await self._table.apply(base_rules.withdrawal(record))
        await self._in_thread(self._dismantle, record.id)
        self._files.remove(record.id)
        self._records.pop(record.lease.owner, None)
        self._addresses.give_back(record.lease.address)
        self._start_refill()

    # the pool

    async def _take(self) -> Prepared:
        """One that is ready, or one made for us. The last address may be on its way to the pool: wait for it."""
        if self._ready:
            return self._ready.popleft()
        try:
            return await self._prepare_now()
        except AddressesExhausted:
            if self._refill is not None:
                await asyncio.wait([self._refill])
            if not self._ready:
                raise
            return self._ready.popleft()

    def _ready_addresses(self) -> list[str]:
        return [prepared.address for prepared in self._ready]

    def _start_refill(self) -> None:
        idle = self._refill is None or self._refill.done()
        if idle and self._threads is not None and len(self._ready) < self._settings.ready:
            self._refill = asyncio.create_task(self._fill(), name="prepare network namespaces")

    async def _fill(self) -> None:
        while len(self._ready) < self._settings.ready:
            try:
                self._ready.append(await self._prepare_now())
            except AddressesExhausted:
                return  # a release will start us again
            except OSError:
                log.exception("a network namespace could not be prepared")
                return  # the next acquire tries itself, and tells its caller

    async def _prepare_now(self) -> Prepared:
        """One more namespace, with an address that nobody has."""
        address = self._addresses.take()
        prepared = Prepared(f"{address.replace('.', '-')}-{secrets.token_hex(4)}", address)
        making = asyncio.ensure_future(self._in_thread(self._build, prepared))
        try:
            await asyncio.shield(making)
            await self._table.apply([base_rules.hairpin(address)])
        except BaseException:
            # Also when cancelled: the thread ends its work, then everything is taken apart again.
            with contextlib.suppress(Exception):
                await making
            await self._in_thread(self._dismantle, prepared.id)
            self._addresses.give_back(address)
            raise
        return prepared

    # in threads

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def _prepare_host(self) -> None:
        settings = self._settings
        namespaces.prepare_directory(settings.namespaces_dir)
        settings.leases_dir.mkdir(parents=True, exist_ok=True)
        self._mtu = settings.mtu or links.default_mtu()
        with Netlink() as netlink:
            self._bridge = links.ensure_bridge(netlink, settings.bridge, self._mtu, settings.gateway)
            links.ensure_address(netlink, self._bridge, settings.gateway, settings.subnet.prefixlen)
            if settings.service_cidr:
                links.ensure_route(netlink, settings.service_cidr, self._bridge, source=settings.gateway)
        sysctls.prepare_host(settings.bridge, settings.forwarding_file)

    def _adopt(self) -> None:
        """Find leases by their files and prepared namespaces by their pins; clear away what is only half there."""
        directory = self._settings.namespaces_dir
        for record in self._files.load():
            if namespaces.is_pinned(Path(record.lease.path)):
                self._records[record.lease.owner] = record
            else:
                self._dismantle(record.id)
                self._files.remove(record.id)
        leased = {record.id for record in self._records.values()}
        for path in sorted(directory.iterdir()):
            if path.name in leased:
                continue
            prepared = Prepared(path.name, address_of(path.name))
            if self._is_whole(prepared):
                self._ready.append(prepared)
            else:
                self._dismantle(path.name)
        in_use = [record.lease.address for record in self._records.values()] + self._ready_addresses()
        self._addresses = Addresses(self._settings.subnet, in_use)

    def _is_whole(self, prepared: Prepared) -> bool:
        path = self._settings.namespaces_dir / prepared.id
        if not prepared.address or not namespaces.is_pinned(path):
            return False
        with Netlink() as netlink:
            if not links.index_of(netlink, host_interface(prepared.id)):
                return False
        with namespaces.entered(path), Netlink() as netlink:
            return links.has_default_route(netlink)

    def _build(self, prepared: Prepared) -> None:
        settings = self._settings
        with Netlink() as outside, namespaces.created(settings.namespaces_dir / prepared.id) as descriptor:
            sysctls.prepare_namespace()
            name = host_interface(prepared.id)
            links.add_veth(
                outside, name, bridge=self._bridge, mtu=self._mtu,
                peer_namespace=descriptor, peer_address=prepared.address,
            )  # fmt: skip
            links.allow_hairpin(outside, links.index_of(outside, name))
            with Netlink() as inside:
                links.set_up(inside, 1)
                index = links.index_of(inside, links.PEER)
                links.set_up(inside, index)
                links.ensure_address(inside, index, prepared.address, 32)
                links.ensure_route(inside, f"{settings.gateway}/32", index)
                links.ensure_route(inside, "0.0.0.0/0", index, gateway=settings.gateway)

    def _dismantle(self, identifier: str) -> None:
        # The link goes first: a process that still holds the namespace must not keep answering for the address.
        with Netlink() as netlink:
            links.delete_link(netlink, host_interface(identifier))
        namespaces.drop(self._settings.namespaces_dir / identifier)

    def _remove_all(self) -> None:
        settings = self._settings
        if settings.namespaces_dir.is_dir():
            for path in list(settings.namespaces_dir.iterdir()):
                self._dismantle(path.name)
        namespaces.remove_directory(settings.namespaces_dir)
        self._files.purge()
        with Netlink() as netlink:
            links.delete_link(netlink, settings.bridge)
        remove_table("ip", settings.table)
        sysctls.restore_host(settings.forwarding_file)


def host_interface(identifier: str) -> str:
    """The name of the host's end of a veth pair, at most 15 characters."""
    return f"tip{identifier.rpartition('-')[2]}"


def address_of(identifier: str) -> str:
    """The address that an id carries, "" if it carries none."""
    parts = identifier.split("-")
    return ".".join(parts[:4]) if len(parts) == 5 and all(part.isdigit() for part in parts[:4]) else ""
