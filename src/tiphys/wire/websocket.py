"""
One WebSocket connection (RFC 6455) over a raw stream, on the sans-I/O layer of `websockets`.

The HTTP server has read the request already, so the handshake is a pure function (`accept`) and only frames travel
here. A message is given in the fragments in which it came: nothing larger than one frame is ever kept.

What the reading side has to send (pongs, the echo of a close) must not make it wait for a peer that waits for us: such
bytes go to a small task of their own, and an unsent pong is replaced by a newer one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import CLIENT, SERVER, Protocol, State
from websockets.utils import accept_key

from tiphys.wire.link import ConnectionLost
from tiphys.wire.messages import Stream

# Of one frame; clients send at most 32 KiB, but a script may send a whole file as one.
FRAME_BYTES_MAX = 8 * 1024 * 1024
WRITE_BYTES_MAX = 32768
CLOSE_SECONDS = 5.0
# Pings that came while the peer takes no pongs; a peer that goes on is breaking the protocol.
UNSENT_BYTES_MAX = 65536


class HandshakeRefused(ValueError):
    """The request asks for no WebSocket that is spoken here; the message says why."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of a message. `begins` on its first, `ends` on its last."""

    data: bytes
    begins: bool
    ends: bool


def is_offered(headers: Mapping[str, str]) -> bool:
    """Whether the client asks for a WebSocket."""
    return "websocket" in headers.get("upgrade", "").lower()


def accept(headers: Mapping[str, str], spoken: Sequence[str]) -> tuple[str, list[tuple[str, str]]]:
    """
    The chosen subprotocol and the headers of the 101.

    The client's first subprotocol that is in `spoken` is taken; "" in `spoken` admits clients that offer none.
    """
    key = headers.get("sec-websocket-key", "")
    if not key or headers.get("sec-websocket-version", "13") != "13":
        raise HandshakeRefused("the WebSocket handshake needs a key and version 13")
    offered = [item.strip() for item in headers.get("sec-websocket-protocol", "").split(",") if item.strip()]
    chosen = next((item for item in offered or [""] if item in spoken), None)
    if chosen is None:
        raise HandshakeRefused(f"none of the WebSocket protocols {offered} is spoken here, but: {list(spoken)}")
    answer = [("Upgrade", "websocket"), ("Sec-WebSocket-Accept", accept_key(key))]
    return chosen, [*answer, ("Sec-WebSocket-Protocol", chosen)] if chosen else answer


class WebSocket:
    """One side. One task reads; any number may write."""

    def __init__(self, stream: Stream, *, client: bool = False) -> None:
        self._stream = stream
        self._protocol = Protocol(CLIENT if client else SERVER, max_size=FRAME_BYTES_MAX)
        self._fragments: deque[Fragment] = deque()
        self._ended = False
        self._reading = False
        self._paused_reading = asyncio.Event()
        self._writing = asyncio.Lock()
        self._owed = b""  # pongs and the echo of a close
        self._paying: asyncio.Task[None] | None = None

    async def receive(self) -> Fragment | None:
        """The next piece; None after the peer's close. Raises ConnectionLost if it ended without one."""
        while not self._fragments:
            if self._ended:
                return None
            if self._protocol.parser_exc is not None:
                raise ConnectionLost(f"the WebSocket broke: {self._protocol.parser_exc}")
            self._reading = True
            try:
                data = await self._stream.read()
            finally:
                self._reading = False
                self._paused_reading.set()
            if data:
                self._protocol.receive_data(data)
            else:
                self._protocol.receive_eof()
            self._take_events()
        return self._fragments.popleft()

    async def send(self, data: bytes, *, text: bool = False) -> None:
        """One message; waits while the peer is slow. Raises ConnectionLost."""
        async with self._writing:
            if self._protocol.state is not State.OPEN:
                raise ConnectionLost("the WebSocket is closed")
            if text:
                self._protocol.send_text(data)
            else:
                self._protocol.send_binary(data)
            await self._flush()

    async def ping(self) -> None:
        """Whether the peer is there: to one that is gone the write fails, sooner or later. Raises ConnectionLost."""
        async with self._writing:
            if self._protocol.state is not State.OPEN:
                raise ConnectionLost("the WebSocket is closed")
            self._protocol.send_ping(b"")
            await self._flush()

    async def finish(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Say that no more comes; reading goes on until the peer's close."""
        async with self._writing:
            if self._protocol.state is State.OPEN:
                self._protocol.send_close(code, reason)
                await self._flush()

    async def close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Close in good order, but never wait long for the peer."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.finish(code, reason)
                await self._read_to_the_end()
        except (ConnectionLost, TimeoutError):
            pass
        finally:
            if self._paying is not None:
                self._paying.cancel()
                await asyncio.gather(self._paying, return_exceptions=True)
            await self._stream.close()

    async def _read_to_the_end(self) -> None:
        """By whoever reads now, or else by us."""
        while True:
            while self._reading:
                self._paused_reading.clear()
                await self._paused_reading.wait()
            if await self.receive() is None:
                return

    def _take_events(self) -> None:
        for event in self._protocol.events_received():
            assert isinstance(event, Frame)
            if event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._fragments.append(Fragment(bytes(event.data), event.opcode is not Opcode.CONT, event.fin))
            elif event.opcode is Opcode.CLOSE:
                self._ended = True
        self._owe()

    def _owe(self) -> None:
        owed = b"".join(self._protocol.data_to_send())
        if not owed:
            return
        self._owed += owed
        if len(self._owed) > UNSENT_BYTES_MAX:
            raise ConnectionLost("the peer sends pings and reads no pongs")
        if self._paying is None or self._paying.done():
            self._paying = asyncio.create_task(self._pay(), name="websocket pongs")

    async def _pay(self) -> None:
        async with self._writing:
            try:
                await self._flush()
            except ConnectionLost:
                pass  # whoever reads learns it too

    async def _flush(self) -> None:
        # The order matters: what is owed was framed before what is new.
        data, self._owed = self._owed + b"".join(self._protocol.data_to_send()), b""
        if data:
            await self._stream.write(data)


class WebSocketStream:
    """A WebSocket whose messages are the bytes of a `Stream`: how SPDY is tunnelled."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._rest = b""

    async def read(self, max_bytes: int = 65536) -> bytes:
        while not self._rest:
            fragment = await self._socket.receive()
            if fragment is None:
                return b""
            self._rest = fragment.data
        data, self._rest = self._rest[:max_bytes], self._rest[max_bytes:]
        return data

    async def write(self, data: bytes) -> None:
        for start in range(0, len(data), WRITE_BYTES_MAX):
            await self._socket.send(data[start : start + WRITE_BYTES_MAX])

    async def close_output(self) -> None:
        await self._socket.finish()

    async def close(self) -> None:
        await self._socket.close()
