"""
Several channels over one WebSocket: the first byte of a message is the number of its channel.

In the base64 form a message is text: a digit and the base64 of the rest. Where `close_signal` is spoken, a message
on channel 255 names a channel of which no more comes. A channel whose reader falls behind stops the reading of the
whole connection, so that memory stays bounded; a channel that nobody asked for is read and dropped.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections import deque
from collections.abc import Iterable

from tiphys.wire.link import ConnectionLost
from tiphys.wire.websocket import WRITE_BYTES_MAX, WebSocket

CLOSE_SIGNAL = 255
UNREAD_BYTES_MAX = 262144
BASE64_MESSAGE_BYTES_MAX = 4 * 1024 * 1024


class Channel:
    """One channel; a `Stream`. Closing its output says nothing to the peer: the protocol has no word for it."""

    def __init__(self, owner: Channels, number: int) -> None:
        self.number = number
        self._owner = owner
        self._chunks: deque[bytes] = deque()
        self._unread = 0
        self._ended = False
        self._error: Exception | None = None
        self._changed = asyncio.Event()
        self._room = asyncio.Event()

    async def read(self, max_bytes: int = 65536) -> bytes:
        """The next bytes, b"" at the end. Raises ConnectionLost."""
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._ended:
                return b""
            self._changed.clear()
            await self._changed.wait()
        chunk = self._chunks.popleft()
        if len(chunk) > max_bytes:
            self._chunks.appendleft(chunk[max_bytes:])
            chunk = chunk[:max_bytes]
        self._unread -= len(chunk)
        self._room.set()
        return chunk

    async def write(self, data: bytes) -> None:
        for start in range(0, len(data), WRITE_BYTES_MAX):
            await self._owner.send(self.number, data[start : start + WRITE_BYTES_MAX])

    async def close_output(self) -> None:
        return

    async def close(self) -> None:
        """Nobody reads it any more."""
        self.feed_end()
        self._chunks.clear()
        self._unread = 0
        self._room.set()

    # what the owner calls

    async def feed(self, data: bytes) -> None:
        if not data or self._ended:
            return
        self._chunks.append(data)
        self._unread += len(data)
        self._changed.set()
        while self._unread > UNREAD_BYTES_MAX and not self._ended:
            self._room.clear()
            await self._room.wait()

    def feed_end(self, error: Exception | None = None) -> None:
        if error is not None and not self._ended:
            self._error = error
        self._ended = True
        self._changed.set()


class Channels:
    """`run` must run as long as the channels are used; when it returns, the peer is gone."""

    def __init__(
        self, socket: WebSocket, numbers: Iterable[int], *, base64_text: bool = False, close_signal: bool = False
    ) -> None:
        self._socket = socket
        self._base64 = base64_text
        self._close_signal = close_signal
        self._channels = {number: Channel(self, number) for number in numbers}

    def __getitem__(self, number: int) -> Channel:
        return self._channels[number]

    async def run(self) -> None:
        """Hand out what comes until the connection ends. Does not raise: channels tell how it ended."""
        error: Exception = ConnectionLost("the peer closed the connection")
        try:
            await (self._read_text() if self._base64 else self._read_binary())
        except ConnectionLost as lost:
            error = lost
        finally:
            for channel in self._channels.values():
                channel.feed_end(error)

    async def send(self, number: int, data: bytes) -> None:
        """One message on a channel; an empty one tells the peer that the channel is there."""
        if self._base64:
            await self._socket.send(b"%d" % number + base64.b64encode(data), text=True)
        else:
            await self._socket.send(bytes((number,)) + data)

    async def ping(self) -> None:
        await self._socket.ping()

    async def close(self) -> None:
        await self._socket.close()

    async def _read_binary(self) -> None:
        number = -1
        while (fragment := await self._socket.receive()) is not None:
            data = fragment.data
            if fragment.begins:
                number = -1
            if number < 0:
                if not data:
                    continue
                number, data = data[0], data[1:]
            if number == CLOSE_SIGNAL and self._close_signal:
                for named in data[:1]:
                    self._end(named)
            elif number in self._channels:
                await self._channels[number].feed(data)

    async def _read_text(self) -> None:
        message = b""
        while (fragment := await self._socket.receive()) is not None:
            message = fragment.data if fragment.begins else message + fragment.data
            if len(message) > BASE64_MESSAGE_BYTES_MAX:
                raise ConnectionLost("a message is too large")
            if not fragment.ends or not message:
                continue
            number = message[0] - ord("0")
            try:
                data = base64.b64decode(message[1:], validate=True)
            except binascii.Error as error:
                raise ConnectionLost(f"a message is no base64: {error}") from None
            if number in self._channels:
                await self._channels[number].feed(data)

    def _end(self, number: int) -> None:
        if number in self._channels:
            self._channels[number].feed_end()
