"""
Port-forward: TCP connections inside of a pod, over SPDY streams or WebSocket channels.

Over SPDY the client opens two streams for each connection, `data` and `error`, joined by a request id; over WebSocket
two channels for each port are there from the start. The end of the pod's side is the end of a connection; the end of
the client's side is passed on, and the pod may still answer.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tiphys.api.errors import StatusError
from tiphys.node.server.activity import Activity, until_lost
from tiphys.node.server.doors import ServerLimits
from tiphys.node.server.query import port_number
from tiphys.wire.channels import Channels
from tiphys.wire.link import ConnectionLost
from tiphys.wire.messages import Stream
from tiphys.wire.spdy_session import SpdySession, SpdyStream
from tiphys.wire.websocket import WebSocket

log = logging.getLogger(__name__)

SPDY = "portforward.k8s.io"
TUNNEL = "SPDY/3.1+portforward.k8s.io"
# WebSocket subprotocols with channels, and whether they are base64.
CHANNEL_FORMS = {
    "v4.channel.k8s.io": False,
    "v5.channel.k8s.io": False,
    "v4.base64.channel.k8s.io": True,
    "portforward.k8s.io": False,
    "": False,
}

# A port inside of the pod, as a stream. Raises OSError with a text for the user.
Dial = Callable[[int], Awaitable[Stream]]


@dataclass(slots=True)
class _Pair:
    """The two streams of one connection, which come in any order."""

    streams: dict[str, SpdyStream] = field(default_factory=dict)
    whole: asyncio.Event = field(default_factory=asyncio.Event)


class PortForward:
    """One client's connection. `place` is the pod for messages."""

    def __init__(self, dial: Dial, place: str, limits: ServerLimits) -> None:
        self._dial = dial
        self._place = place
        self._limits = limits
        self._activity = Activity()
        self._pairs: dict[str, _Pair] = {}

    async def over_spdy(self, raw: Stream) -> None:
        """Until the client goes away, or nothing moves for too long."""
        session = SpdySession(raw, client=False)
        running = asyncio.create_task(session.run(), name="spdy session")
        accepting = asyncio.create_task(self._accept(session))
        await self._until_first(session, running, accepting)

    async def over_channels(self, raw: Stream, ports: list[int], *, base64_text: bool) -> None:
        """Two channels a port; each begins with its port number, little-endian."""
        channels = Channels(WebSocket(raw), range(2 * len(ports)), base64_text=base64_text)
        running = asyncio.create_task(channels.run(), name="websocket channels")
        serving = asyncio.create_task(self._serve_channels(channels, ports))
        await self._until_first(channels, running, serving)

    async def _until_first(
        self, client: SpdySession | Channels, running: asyncio.Task[None], serving: asyncio.Task[None]
    ) -> None:
        idle = asyncio.create_task(self._activity.idle(self._limits.idle_seconds))
        tasks = (serving, running, idle, asyncio.create_task(until_lost(client, self._limits.ping_seconds)))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if serving.done() and not serving.cancelled() and serving.exception() is not None:
                log.error("a port-forward to %s failed", self._place, exc_info=serving.exception())
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await client.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve_channels(self, channels: Channels, ports: list[int]) -> None:
        async with asyncio.TaskGroup() as group:
            for index, port in enumerate(ports):
                data, error = channels[2 * index], channels[2 * index + 1]
                try:
                    for channel in (data, error):
                        await channel.write(struct.pack("<H", port))
                except ConnectionLost:
                    return
                group.create_task(self._forward(port, data, error))

    # SPDY

    async def _accept(self, session: SpdySession) -> None:
        async with asyncio.TaskGroup() as group:
            while (stream := await session.accept()) is not None:
                self._activity.touch()
                kind = stream.headers.get("streamtype", "")
                if kind not in ("data", "error"):
                    await _quietly(stream.close())
                    continue
                # Clients that send no id open the error stream right before its data stream.
                identifier = stream.headers.get("requestid") or str(stream.id - (2 if kind == "data" else 0))
                pair = self._pairs.get(identifier)
                if pair is None:
                    pair = self._pairs[identifier] = _Pair()
                    group.create_task(self._serve_pair(identifier, pair))
                if kind in pair.streams:
                    await _quietly(stream.close())
                    continue
                pair.streams[kind] = stream
                if len(pair.streams) == 2:
                    pair.whole.set()

    async def _serve_pair(self, identifier: str, pair: _Pair) -> None:
        try:
            async with asyncio.timeout(self._limits.streams_seconds):
                await pair.whole.wait()
        except TimeoutError:
            for stream in pair.streams.values():
                await _quietly(stream.close())
            return
        finally:
            del self._pairs[identifier]
        data, error = pair.streams["data"], pair.streams["error"]
        try:
            port = port_number(data.headers.get("port", ""))
        except StatusError as refused:
            await self._complain(error, str(refused))
            await _quietly(data.close())
            return
        await self._forward(port, data, error)

    # one connection

    async def _forward(self, port: int, data: Stream, error: Stream) -> None:
        try:
            target = await self._dial(port)
        except OSError as failed:
            await self._complain(error, f"error forwarding port {port} to pod {self._place}: {failed}")
            await _quietly(data.close())
            return
        try:
            await self._join(data, target)
        except ConnectionLost as lost:
            log.debug("a forwarded connection to %s:%d broke: %s", self._place, port, lost)
        finally:
            await target.close()
        await _quietly(data.close_output())
        await _quietly(error.close_output())
        if isinstance(data, SpdyStream):
            await self._drain(data)
        await _quietly(data.close())

    async def _drain(self, data: SpdyStream) -> None:
        """The client answers our end with its own; a reset before that could cost it what it has not read yet."""
        try:
            async with asyncio.timeout(self._limits.linger_seconds):
                while await data.read():
                    pass
        except (TimeoutError, ConnectionLost):
            return

    async def _complain(self, error: Stream, message: str) -> None:
        await _quietly(error.write(message.encode()))
        await _quietly(error.close_output())

    async def _join(self, data: Stream, target: Stream) -> None:
        forth = asyncio.create_task(self._copy(data, target))
        back = asyncio.create_task(self._copy(target, data))
        try:
            await asyncio.wait((forth, back), return_when=asyncio.FIRST_COMPLETED)
            if forth.done():
                forth.result()  # a client that broke off takes no answer either
            await back
        finally:
            forth.cancel()
            back.cancel()
            await asyncio.gather(forth, back, return_exceptions=True)

    async def _copy(self, source: Stream, target: Stream) -> None:
        while chunk := await source.read():
            self._activity.touch()
            await target.write(chunk)
        await target.close_output()


async def _quietly(ending: Awaitable[None]) -> None:
    """What is said at the end to a client that may be gone."""
    try:
        await ending
    except ConnectionLost:
        pass
