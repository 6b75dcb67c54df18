"""
The cluster's DNS server: the zone kept by watches, the sockets that answer from it, and upstream for all other names.

It answers from its first moment on: other names are forwarded already while the zone is not whole yet. Questions about
names of the cluster wait for it some seconds, since resolvers give up at once on SERVFAIL, which they get afterwards.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from tiphys.api.resources import Resource
from tiphys.client.client import Client
from tiphys.client.informer import Informer, Informers
from tiphys.dns import message
from tiphys.dns.answers import TCP_BYTES, Answers, Upstream, ZoneIncomplete, with_target
from tiphys.dns.follow import Follower
from tiphys.dns.forward import Forwarder
from tiphys.dns.listeners import TcpListener, UdpListener
from tiphys.dns.message import Answer, Malformed
from tiphys.dns.settings import DnsSettings
from tiphys.dns.zone import Zone

log = logging.getLogger(__name__)

Address = tuple[str, int]
# Two sockets of one number: somebody may take the second one meanwhile.
PORT_TRIES = 10
# Less than the five seconds after which resolvers ask again.
INCOMPLETE_SECONDS = 4.0

Sockets = tuple[socket.socket, socket.socket]


class DnsServer:
    """
    `await DnsServer(client, settings).run()`. In a process with shared informers, `informer_of` gives them.

    `listening` is set when the sockets are open (`addresses` then has their true ports), `synced` when the zone is
    whole. `sockets` gives a UDP and a TCP socket for an address, if they are not simply to be opened.
    """

    def __init__(
        self,
        client: Client,
        settings: DnsSettings,
        *,
        informer_of: Callable[[Resource], Informer] | None = None,
        sockets: Callable[[str, int], Sockets] | None = None,
    ) -> None:
        self._settings = settings
        self._sockets = sockets or bind
        self._informers: Informers | None = None
        if informer_of is None:
            self._informers = Informers(client)
            informer_of = self._informers.of
        self._zone = Zone(settings.domain, settings.address, settings.own_cidrs)
        self._follower = Follower(self._zone, informer_of)
        self.answers = Answers(self._zone)
        self.synced = self._follower.synced
        self.listening = asyncio.Event()
        self.addresses: tuple[Address, ...] = ()

    async def run(self) -> None:
        """Work until cancelled. Raises OSError at once if an address is taken."""
        bound = [self._sockets(*address) for address in self._settings.listen]
        closers: list[Callable[[], None]] = []
        try:
            async with asyncio.TaskGroup() as group:
                whole = asyncio.Event()
                resolver = ClusterResolver(self.answers, Forwarder(self._settings), whole)
                for udp, tcp in bound:
                    closers.append(UdpListener(udp, resolver, group.create_task).close)
                    listener = TcpListener(resolver, group.create_task)
                    await listener.listen(tcp)
                    closers.append(listener.close)
                self.addresses = tuple(udp.getsockname()[:2] for udp, _ in bound)
                self.listening.set()
                if self._informers is not None:
                    group.create_task(self._informers.run(), name="dns informers")
                group.create_task(self._follower.run(), name="dns zone")
                await self.synced.wait()
                self.answers.synced = True
                whole.set()
        finally:
            for close in closers:
                close()
            for pair in bound:
                for opened in pair:
                    opened.close()


class ClusterResolver:
    """The zone first, upstream for the rest. A mistake of ours costs one answer, never the server."""

    def __init__(self, answers: Answers, forwarder: Forwarder, whole: asyncio.Event) -> None:
        self._answers = answers
        self._whole = whole
        self._forwarder = forwarder
        self.kept = answers.kept

    def quick(self, data: bytes, *, udp: bool) -> bytes | None:
        try:
            return self._answers.answer(data, udp=udp) or b""
        except Upstream as wanted:
            query = wanted.query
            if wanted.known is not None:
                return None
            return self._forwarder.kept(query, query.udp_bytes_max if udp else TCP_BYTES)
        except ZoneIncomplete:
            return None
        except Exception:
            log.exception("a DNS query could not be answered")
            return message.refusal(data, message.SERVFAIL) or b""

    async def slow(self, data: bytes, *, udp: bool) -> bytes:
        try:
            return await self._known(data, udp=udp)
        except Upstream as wanted:
            try:
                return await self._from_upstream(wanted, udp=udp)
            except Exception:
                log.exception("a DNS query could not be forwarded")
        except Exception:
            log.exception("a DNS query could not be answered")
        return message.refusal(data, message.SERVFAIL) or b""

    async def _known(self, data: bytes, *, udp: bool) -> bytes:
        """From the zone, once it is whole. Raises Upstream."""
        try:
            return self._answers.answer(data, udp=udp) or b""
        except ZoneIncomplete:
            try:
                async with asyncio.timeout(INCOMPLETE_SECONDS):
                    await self._whole.wait()
            except TimeoutError:
                return message.refusal(data, message.SERVFAIL) or b""
        return self._answers.answer(data, udp=udp) or b""

    async def _from_upstream(self, wanted: Upstream, *, udp: bool) -> bytes:
        query = wanted.query
        bytes_max = query.udp_bytes_max if udp else TCP_BYTES
        if wanted.known is None:
            return await self._forwarder.answer(query, bytes_max)
        target = message.query_for(wanted.target, query.type)
        data = await self._forwarder.answer(target, TCP_BYTES)
        try:
            found = message.records_of(data)
        except Malformed:
            return message.encode(query, Answer(message.SERVFAIL, authoritative=False))
        return with_target(query, wanted.known, found, message.code_of(data), bytes_max)


def bind(host: str, port: int) -> Sockets:
    """A UDP and a TCP socket with one address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    tries = PORT_TRIES if port == 0 else 1
    while True:
        tries -= 1
        udp, tcp = socket.socket(family, socket.SOCK_DGRAM), socket.socket(family, socket.SOCK_STREAM)
        try:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.bind((host, port))
            udp.bind((host, tcp.getsockname()[1]))
        except OSError as error:
            udp.close()
            tcp.close()
            if tries:
                continue
            raise OSError(error.errno, f"DNS cannot listen on {host} port {port}: {error.strerror}") from error
        return udp, tcp
