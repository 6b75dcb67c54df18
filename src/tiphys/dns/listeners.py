"""
The sockets: datagrams drained in a loop for each wake-up, and a bounded number of TCP connections.

A wake-up of the event loop costs more than an answer that is kept; so a wake-up takes all datagrams that are there, up
to a bound that keeps the rest of the process alive. Slow answers are tasks. A datagram that cannot be sent is dropped,
as any network may do.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from tiphys.observe import metrics

QUERY_BYTES_MAX = 4096
DATAGRAMS_PER_TURN = 256
RECEIVE_BUFFER_BYTES = 1024 * 1024
CONNECTIONS_MAX = 256
IDLE_SECONDS = 10.0
# Clients that wait for slow answers. One more is dropped: it asks again.
WAITING_MAX = 4096

QUERIES = metrics.counter("tiphys_dns_queries_total", "DNS queries, by protocol.", ("protocol",))
UDP_QUERIES, TCP_QUERIES = QUERIES.labels("udp"), QUERIES.labels("tcp")

log = logging.getLogger(__name__)

Start = Callable[[Coroutine[Any, Any, None]], object]


class Resolver(Protocol):
    """What answers, for both kinds of sockets."""

    def kept(self) -> dict[bytes, list[bytes]]:
        """Answers without ids, in the orders that take turns, by queries without ids."""

    def quick(self, data: bytes, *, udp: bool) -> bytes | None:
        """The answer, b"" for none at all; None if it has to be waited for."""

    async def slow(self, data: bytes, *, udp: bool) -> bytes: ...


class UdpListener:
    """`start` makes a task in the owner's group."""

    def __init__(self, bound: socket.socket, resolver: Resolver, start: Start) -> None:
        self._socket = bound
        self._resolver = resolver
        self._start = start
        self._turn = 0
        self._waiting = 0
        bound.setblocking(False)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(bound, self._readable)

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _readable(self) -> None:
        receive, send = self._socket.recvfrom, self._socket.sendto
        kept = self._resolver.kept()
        taken = 0
        for _ in range(DATAGRAMS_PER_TURN):
            try:
                data, peer = receive(QUERY_BYTES_MAX)
            except BlockingIOError:
                break
            except OSError as error:  # an ICMP error for something that was sent before
                log.debug("receiving a DNS query failed: %s", error)
                continue
            taken += 1
            bodies = kept.get(data[2:])
            if bodies is not None:
                self._turn = turn = self._turn + 1
                answer: bytes | None = data[:2] + bodies[turn % len(bodies)]
            else:
                answer = self._resolver.quick(data, udp=True)
                if answer is None:
                    if self._waiting < WAITING_MAX:
                        self._waiting += 1
                        self._start(self._answer_later(data, peer))
                    continue
            if answer:
                try:
                    send(answer, peer)
                except OSError as error:
                    log.debug("a DNS answer was dropped: %s", error)
        UDP_QUERIES.inc(taken)

    async def _answer_later(self, data: bytes, peer: Any) -> None:
        try:
            answer = await self._resolver.slow(data, udp=True)
        finally:
            self._waiting -= 1
        if answer:
            try:
                self._socket.sendto(answer, peer)
            except OSError as error:
                log.debug("a DNS answer was dropped: %s", error)


class TcpListener:
    """Queries of one connection are answered one after the other."""

    def __init__(self, resolver: Resolver, start: Start) -> None:
        self._resolver = resolver
        self._start = start
        self._open = 0
        self._server: asyncio.Server | None = None

    async def listen(self, bound: socket.socket) -> None:
        self._server = await asyncio.start_server(self._connected, sock=bound, limit=2 * QUERY_BYTES_MAX)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._open >= CONNECTIONS_MAX:
            writer.transport.abort()
            return
        self._open += 1
        self._start(self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                async with asyncio.timeout(IDLE_SECONDS):
                    length = int.from_bytes(await reader.readexactly(2), "big")
                    if length > QUERY_BYTES_MAX:
                        return
                    data = await reader.readexactly(length)
                TCP_QUERIES.inc()
                answer = self._resolver.quick(data, udp=False)
                if answer is None:
                    answer = await self._resolver.slow(data, udp=False)
                if not answer:
                    return
                writer.write(len(answer).to_bytes(2, "big") + answer)
                async with asyncio.timeout(IDLE_SECONDS):
                    await writer.drain()
        except (OSError, asyncio.IncompleteReadError):  # a time-out is an OSError too
            return
        finally:
            self._open -= 1
            writer.close()
