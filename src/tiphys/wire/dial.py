"""A plain connection of a socket that somebody made (perhaps in another network namespace), as a `Stream`."""

from __future__ import annotations

import asyncio
import socket

from tiphys.wire.link import RECEIVE_BYTES, Link, LinkStream


class _Plain(Link):
    """Nothing is read before the bytes belong to the stream."""

    def opened(self) -> None:
        raise NotImplementedError("a plain connection has no handshake")

    def received(self, data: bytes) -> None:
        raise NotImplementedError("the stream takes the bytes")

    def ended(self) -> None:
        raise NotImplementedError("the stream takes the end")

    def lost(self, error: Exception | None) -> None:
        return

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.take_over(b"")


async def stream_of(connected: socket.socket) -> LinkStream:
    """The stream owns the socket from now on."""
    loop = asyncio.get_running_loop()
    _, link = await loop.create_connection(lambda: _Plain(loop, memoryview(bytearray(RECEIVE_BYTES))), sock=connected)
    assert link.stream is not None
    return link.stream
