"""
Names outside of the cluster, asked of upstream servers.

One question is asked once: who asks the same meanwhile waits for the same answer. That is also what keeps a loop (an
upstream server that asks us) from growing: the question that comes back waits for itself and ends with its time-out.
An answer that was cut is asked for again over TCP. A server that fails is asked last from then on, and only once. That
nobody answered is remembered for a moment (RFC 9520): clients ask again, and applications more often still.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace

from tiphys.dns import message
from tiphys.dns.message import SERVFAIL, Answer, Query
from tiphys.dns.resolv_conf import PORT, ResolvConf, Server
from tiphys.dns.settings import DnsSettings
from tiphys.dns.upstream_cache import UpstreamCache

TRY_SECONDS = 2.0
TOTAL_SECONDS = 5.0
TRIES_MAX = 3
FAILURE_SECONDS = 5.0
QUESTIONS_MAX = 1000
HEADER_BYTES = 12

log = logging.getLogger(__name__)

# (server, query) to the response. Raises OSError.
Exchange = Callable[[Server, bytes], Awaitable[bytes]]


class Forwarder:
    def __init__(self, settings: DnsSettings, *, udp: Exchange | None = None, tcp: Exchange | None = None) -> None:
        # Asking ourselves would be a loop.
        own = {(settings.address, PORT), *settings.listen}
        self._fixed = [server for server in settings.upstream if server not in own]
        self._resolv_conf = ResolvConf(settings.resolv_conf, {host for host, port in own if port == PORT})
        self._follows_host = not settings.upstream
        self._udp = udp or exchange_udp
        self._tcp = tcp or exchange_tcp
        self._cache = UpstreamCache()
        self._asked: dict[bytes, asyncio.Future[bytes]] = {}
        self._failed: set[Server] = set()
        self._loop = asyncio.get_running_loop()

    def kept(self, query: Query, bytes_max: int) -> bytes | None:
        """The answer, if it is known already."""
        data = self._cache.get(message.upstream_query(query, 0)[2:], self._loop.time())
        return None if data is None else fitted(data, query, bytes_max)

    async def answer(self, query: Query, bytes_max: int) -> bytes:
        """The answer of an upstream server; SERVFAIL if there is none to be had."""
        return fitted(await self._shared(query), query, bytes_max)

    async def _shared(self, query: Query) -> bytes:
        sent = message.upstream_query(query, secrets.randbits(16))
        key = sent[2:]
        known = self._cache.get(key, self._loop.time())
        if known is not None:
            return known
        asked = self._asked.get(key)
        if asked is not None:
            return await asyncio.shield(asked)
        if len(self._asked) >= QUESTIONS_MAX:
            return _failure(query)
        asked = self._asked[key] = self._loop.create_future()
        answer = failure = _failure(query)
        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                answer = await self._ask(query, sent, failure)
        except TimeoutError:
            log.debug("no upstream server answered for %s", message.text_of(query.name))
        finally:
            del self._asked[key]
            asked.set_result(answer)
        self._cache.put(key, answer, self._loop.time(), FAILURE_SECONDS if answer is failure else 0.0)
        return answer

    async def _ask(self, query: Query, sent: bytes, answer: bytes) -> bytes:
        """Server after server; an answer that tells of the server's own trouble is kept for want of a better one."""
        for server in self._servers():
            try:
                async with asyncio.timeout(TRY_SECONDS):
                    answer = await self._of_server(server, sent, len(query.question))
            except (OSError, asyncio.IncompleteReadError) as error:  # a time-out is an OSError too
                self._failed.add(server)
                log.debug("upstream %s:%d did not answer: %s", *server, error)
                continue
            self._failed.discard(server)
            if message.code_of(answer) not in (message.SERVFAIL, message.REFUSED):
                break
        return answer

    async def _of_server(self, server: Server, sent: bytes, question_bytes: int) -> bytes:
        answer = await self._udp(server, sent)
        if message.answers_question(answer, sent, question_bytes) and message.is_truncated(answer):
            answer = await self._tcp(server, sent)
        if not message.answers_question(answer, sent, question_bytes):
            raise ConnectionError("the response does not belong to the query")
        return answer

    def _servers(self) -> list[Server]:
        servers = self._resolv_conf.servers() if self._follows_host else self._fixed
        ordered = sorted(servers, key=lambda server: server in self._failed)
        # A lone server gets a second chance, unless it failed before: a datagram may just have been lost.
        again = len(ordered) == 1 and ordered[0] not in self._failed
        return (ordered * 2 if again else ordered)[:TRIES_MAX]


def fitted(data: bytes, query: Query, bytes_max: int) -> bytes:
    """An upstream answer as the answer to this client: its id, its question as it wrote it, its limit of bytes."""
    end = HEADER_BYTES + len(query.question)
    head = query.id.to_bytes(2, "big") + data[2:HEADER_BYTES]
    if len(data) > bytes_max:
        return message.truncated(head, query)
    return head + query.question + data[end:]


def _failure(query: Query) -> bytes:
    return message.encode(replace(query, id=0), Answer(SERVFAIL, authoritative=False))


# the network


class _Datagram(asyncio.DatagramProtocol):
    """One query on a socket of its own, so that its port is hard to guess. What is no answer to it is ignored."""

    def __init__(self, sent: bytes) -> None:
        self._sent = sent
        self.received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        if data[:2] == self._sent[:2] and len(data) >= HEADER_BYTES and not self.received.done():
            self.received.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.received.done():
            self.received.set_exception(exc)


async def exchange_udp(server: Server, sent: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(lambda: _Datagram(sent), remote_addr=server)
    try:
        transport.sendto(sent)
        return await protocol.received
    finally:
        transport.close()


async def exchange_tcp(server: Server, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*server)
    try:
        writer.write(len(sent).to_bytes(2, "big") + sent)
        length = int.from_bytes(await reader.readexactly(2), "big")
        return await reader.readexactly(length)
    finally:
        writer.close()
