"""
One connection, with or without TLS: what the HTTP server and the pool stand on.

A Link turns the callbacks of asyncio into four of its own (`opened`, `received`, `ended`, `lost`), keeps the flow in
both directions bounded, and can be handed over as a raw `LinkStream` after an upgrade. All links of one server or pool
share one receive buffer: asyncio fills it and `buffer_updated` empties it before anything else runs.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from typing import cast

from tiphys.wire.tls import RECORD_BYTES, Tls

RECEIVE_BYTES = 65536
# Unsent bytes of one connection before its writer waits.
UNSENT_BYTES_MAX = 65536
# Unread bytes of one raw stream before the peer has to wait.
UNREAD_BYTES_MAX = 262144
# How long a raw stream that was closed may go on sending what was written.
CLOSING_SECONDS = 10.0
KEEPALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))


class ConnectionLost(ConnectionError):
    """The connection broke before the work on it was done."""


class Link(asyncio.BufferedProtocol):
    """Bytes of one connection; subclasses say what they mean."""

    __slots__ = (
        "_buffer",
        "_drained",
        "_ended",
        "_failure",
        "certificate",
        "closed",
        "finished",
        "loop",
        "paused",
        "peer",
        "stream",
        "tls",
        "transport",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, buffer: memoryview) -> None:
        self.loop = loop
        self._buffer = buffer
        self.transport = cast(asyncio.Transport, None)  # set by connection_made, before anything else happens
        self.tls: Tls | None = None
        self.stream: LinkStream | None = None
        self.certificate: bytes | None = None
        self.peer = ""
        self.paused = False  # the peer is slow: do not write more
        self.closed = False
        self._ended = False
        self.finished = False
        self._failure: Exception | None = None
        self._drained: asyncio.Future[None] | None = None

    # what subclasses answer

    def opened(self) -> None:
        """The connection may be used: after the TLS handshake, if there is one."""
        raise NotImplementedError

    def received(self, data: bytes) -> None:
        raise NotImplementedError

    def ended(self) -> None:
        """The peer sends no more, but may still read."""
        raise NotImplementedError

    def lost(self, error: Exception | None) -> None:
        raise NotImplementedError

    def drained(self) -> None:
        """What was written has gone out; more may be written."""

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=UNSENT_BYTES_MAX)
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in KEEPALIVE:
                connection.setsockopt(socket.IPPROTO_TCP, option, value)
            host, port = transport.get_extra_info("peername")[:2]
            self.peer = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def start_tls(self, context: ssl.SSLContext, *, server_side: bool, server_name: str = "") -> None:
        """Speak TLS from the first byte on."""
        self.tls = Tls(context, self._send, server_side=server_side, server_name=server_name)
        if not server_side:
            self.tls.handshake()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        tls = self.tls
        if tls is None:
            data = bytes(self._buffer[:nbytes])
        else:
            established = tls.established
            try:
                data = tls.receive(self._buffer[:nbytes])
            except ssl.SSLError as error:
                self.fail(error)
                return
            if not established:
                if not tls.established:
                    return
                self.certificate = tls.certificate()
                self.opened()
        if data and not self.closed:
            if self.stream is not None:
                self.stream.feed(data)
            else:
                self.received(data)
        if tls is not None and tls.ended:
            self.eof_received()

    def eof_received(self) -> bool:
        if not self._ended and not self.closed:
            self._ended = True
            if self.stream is not None:
                self.stream.feed_end()
            else:
                self.ended()
        return True  # the transport stays open: what is under way may still be answered

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        if self._drained is not None:
            if not self._drained.done():
                self._drained.set_result(None)
            self._drained = None
        self.drained()

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if self._drained is not None and not self._drained.done():
            self._drained.set_exception(ConnectionLost("the peer has gone away"))
            self._drained.exception()  # nobody may be waiting any more
        self._drained = None
        if self.stream is not None:
            self.stream.feed_lost(error or self._failure)
        self.lost(error or self._failure)

    # what owners call

    def write(self, data: bytes | memoryview) -> None:
        if not (self.closed or self.finished or self.transport.is_closing()):
            self.write_now(data)

    def write_now(self, data: bytes | memoryview) -> None:
        """For who has just looked: the connection is neither closed nor finished."""
        if self.tls is None:
            self.transport.write(data)
            return
        try:
            if len(data) <= RECORD_BYTES:
                self.transport.write(self.tls.encrypted(data))
            else:
                self.tls.write(data)
        except ssl.SSLError as error:
            self.fail(error)

    async def drain(self) -> None:
        """Wait until the peer has taken enough. Raises ConnectionLost."""
        if self.closed or self.transport.is_closing():
            raise ConnectionLost("the peer has gone away")
        if self.paused:
            if self._drained is None:
                self._drained = self.loop.create_future()
            await asyncio.shield(self._drained)

    def finish(self) -> None:
        """End our side after what was written; the peer's side stays open."""
        if self.closed or self.finished or self.transport.is_closing():
            return
        if self.tls is not None:
            self.tls.finish()
        self.finished = True
        try:
            self.transport.write_eof()
        except OSError:  # the peer has reset the connection: its loss is told by the transport
            self.transport.abort()

    def close(self) -> None:
        """Close after what was written has gone out."""
        if not self.closed and not self.transport.is_closing():
            if self.tls is not None and not self.finished:
                self.tls.finish()
            self.finished = True
            self.transport.close()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def fail(self, error: Exception) -> None:
        """The connection cannot go on, and the peer has been told what could be told."""
        self._failure = error
        self.closed = True
        self.transport.close()

    def _send(self, ciphertext: bytes) -> None:
        if not self.finished and not self.transport.is_closing():
            self.transport.write(ciphertext)

    def take_over(self, already_read: bytes) -> LinkStream:
        """From now on the bytes belong to the stream that this gives."""
        self.stream = LinkStream(self, already_read)
        if self._ended:
            self.stream.feed_end()
        self.transport.resume_reading()
        return self.stream


class LinkStream:
    """The raw bytes of a Link, after an upgrade."""

    __slots__ = ("_chunks", "_end", "_error", "_link", "_paused", "_size", "_waiter")

    def __init__(self, link: Link, already_read: bytes = b"") -> None:
        self._link = link
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._end = False
        self._paused = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        if already_read:
            self.feed(already_read)

    async def read(self, max_bytes: int = 65536) -> bytes:
        """The next bytes, b"" at the end. Raises ConnectionLost if the connection broke."""
        while not self._chunks:
            if self._end:
                return b""
            if self._error is not None:
                raise ConnectionLost("the connection broke") from self._error
            self._waiter = self._link.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        chunk = self._chunks.popleft()
        if len(chunk) > max_bytes:
            self._chunks.appendleft(chunk[max_bytes:])
            chunk = chunk[:max_bytes]
        self._size -= len(chunk)
        if self._paused and self._size <= UNREAD_BYTES_MAX // 2:
            self._paused = False
            if not self._link.closed:
                self._link.transport.resume_reading()
        return chunk

    async def write(self, data: bytes) -> None:
        """Send all of `data`; waits while the peer is slow. Raises ConnectionLost."""
        if self._link.closed or self._link.finished or self._link.transport.is_closing():
            raise ConnectionLost("the connection is closed")
        self._link.write(data)
        if self._link.paused:
            await self._link.drain()

    async def close_output(self) -> None:
        """Tell the peer that no more comes; reading goes on."""
        self._link.finish()

    async def close(self) -> None:
        """What was written still goes out, unless the peer does not take it."""
        link = self._link
        link.close()
        if not link.closed and link.transport.get_write_buffer_size():
            link.loop.call_later(CLOSING_SECONDS, link.abort)

    # what the link calls

    def feed(self, data: bytes) -> None:
        self._chunks.append(data)
        self._size += len(data)
        if self._size > UNREAD_BYTES_MAX and not self._paused:
            self._paused = True
            self._link.transport.pause_reading()
        self._wake()

    def feed_end(self) -> None:
        self._end = True
        self._wake()

    def feed_lost(self, error: Exception | None) -> None:
        if error is None:
            self._end = True
        else:
            self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
