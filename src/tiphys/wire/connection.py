"""
The server's side of one connection: requests are answered in order, one at a time.

`_pump` starts the next answer; `eager.start` runs it in the same stack, so that an answer that needs no waiting goes
out before the callback that brought the request returns. Whatever waits (a handler, a streaming body, a slow peer, a
raw stream) is the one task of the connection, and ends with it.

No connection has a timer. Each has a `deadline`, and the server looks at them now and then.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from tiphys.wire import eager
from tiphys.wire.head import (
    CONTINUE,
    HOP_BY_HOP,
    LAST_CHUNK,
    BadHeader,
    chunk,
    date_line,
    encode,
    header_lines,
    opening,
    status_line,
)
from tiphys.wire.link import ConnectionLost, Link
from tiphys.wire.messages import Request, Response
from tiphys.wire.reader import Incoming, RequestReader

if TYPE_CHECKING:
    from tiphys.wire.server import HttpServer

logger = logging.getLogger(__name__)

# Bodies up to this size go out in one write together with their head.
SMALL_BODY_BYTES = 65536
SLICE_BYTES = 131072
_CLOSE, _KEEP_ALIVE = b"Connection: close\r\n", b"Connection: keep-alive\r\n"
_WITHOUT_BODY = frozenset((204, 304))

OnError = Callable[[int, str], Response]


class ServerConnection(Link):
    """See the module."""

    __slots__ = (
        "_busy",
        "_ending",
        "_lingering",
        "_reading_paused",
        "_server",
        "_streaming",
        "_task",
        "deadline",
        "reader",
    )

    def __init__(self, server: HttpServer) -> None:
        super().__init__(server.loop, server.buffer)
        self._server = server
        self._task: asyncio.Task[None] | None = None
        self._busy = False
        self._streaming = False
        self._ending = False  # the server drains: this answer is the last
        self._lingering = False  # answered and ended; only the peer's end is awaited
        self._reading_paused = False
        self.deadline = math.inf
        self.reader = RequestReader(server.limits)

    # the link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if not self._server.admit(self):
            self.abort()
            return
        self.reader.peer = self.peer
        self._wait_at_most(self._server.limits.handshake_seconds)
        if self._server.tls is not None:
            self.start_tls(self._server.tls, server_side=True)
        else:
            self.opened()

    def opened(self) -> None:
        self.reader.certificate = self.certificate
        self._rearm()

    def received(self, data: bytes) -> None:
        reader = self.reader
        reader.feed(data)
        if not self._busy:
            self._pump()
            return
        if len(reader.ready) > self._server.limits.pipelined_max or reader.held:
            self._pause_reading()

    def ended(self) -> None:
        self.reader.ended = True
        if self._streaming and self._task is not None:
            self._task.cancel()
        elif not self._busy:
            self.close()

    def lost(self, error: Exception | None) -> None:
        self._server.forget(self)
        self.reader.close()
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.stream is None:
            self._wait_at_most(self._server.limits.stalled_write_seconds)

    def drained(self) -> None:
        if not self._busy:
            self._pump()
        else:
            self.deadline = math.inf

    # the server

    def end_soon(self) -> None:
        """The server drains: finish what was asked, end what streams, then close."""
        self._ending = True
        if not self._busy:
            if self.reader.partial:
                self.reader.refuse(503, "the server is shutting down")
                self._pump()
            else:
                self.close()
        elif self._streaming and self._task is not None:
            self._task.cancel()

    def expire(self) -> None:
        """The deadline has passed."""
        self.deadline = math.inf
        if self.reader.partial and not self._busy and not self.paused:
            self.reader.refuse(408, "the request did not arrive in time")
            self._pump()
        elif self.paused or self._lingering or (self.tls is not None and not self.tls.established):
            self.abort()
        else:
            self.close()

    def _wait_at_most(self, seconds: float) -> None:
        self.deadline = self.loop.time() + seconds
        self._server.look_at(self.deadline)

    def _rearm(self) -> None:
        limits = self._server.limits
        self._wait_at_most(limits.request_seconds if self.reader.partial else limits.idle_seconds)

    # answering

    def _pump(self) -> None:
        """Start answers while there are requests and nothing is in the way. Never called inside a task."""
        reader = self.reader
        while reader.ready and not self.paused and not self.closed and not self._lingering:
            self._busy = True
            task = eager.start(self._serve(reader.ready.popleft()), self.loop)
            if task is not None:
                self._task = task
                self.deadline = math.inf
                task.add_done_callback(self._served)
                return
            self._busy = False
        if self.closed or self._lingering or self.stream is not None:
            return
        if reader.wants_continue and not reader.ready:
            reader.wants_continue = False
            self.write(CONTINUE)
        if reader.ended and not reader.ready and not self.paused:
            self.close()
        elif not self.paused:
            if self._reading_paused and len(reader.ready) <= self._server.limits.pipelined_max:
                self._reading_paused = False
                self.transport.resume_reading()
            self._rearm()

    def _served(self, task: asyncio.Task[None]) -> None:
        self._task = None
        self._busy = False
        self._streaming = False
        if not task.cancelled() and task.exception() is not None:
            logger.error("answering failed", exc_info=task.exception())
            self.abort()
        elif task.cancelled():
            self.abort()
        else:
            self._pump()

    async def _serve(self, item: Incoming) -> None:
        refusal = item.refusal
        if refusal is not None:
            response = self._server.on_error(refusal.status, refusal.message)
        else:
            try:
                response = await self._server.handler(item.request)
            except Exception:
                response = self._failed(item.request)
        if item.upgrade:
            if response.status == 101 and response.takeover is not None:
                await self._hand_over(response)
                return
            self.reader.resume()
        try:
            await self._answer(item, response)
        except BadHeader:
            await self._answer(item, self._failed(item.request))
        except ConnectionLost:
            return
        if refusal is not None:
            self._linger()

    def _failed(self, request: Request) -> Response:
        logger.exception("%s %s failed", request.method, request.target.partition("?")[0])
        return self._server.on_error(500, "an internal error occurred; the server's log says more")

    async def _answer(self, item: Incoming, response: Response) -> None:
        keep_alive = item.keep_alive and not self._ending
        body = response.body
        connection = _CLOSE if not keep_alive else b"" if item.chunked else _KEEP_ALIVE
        head = b"%b%b%b" % (opening(response.status, response.headers), date_line(), connection)
        if not isinstance(body, bytes):
            await self._stream(item, head, response)
        else:
            await self._write_whole(item, head, response.status, body)
        if not keep_alive or self._ending:
            self.reader.ended = True
            self.reader.ready.clear()

    async def _write_whole(self, item: Incoming, head: bytes, status: int, body: bytes) -> None:
        if status < 200 or status in _WITHOUT_BODY:
            self.write(head + b"\r\n")
        elif item.request.method == "HEAD":
            self.write(b"%bContent-Length: %d\r\n\r\n" % (head, len(body)))
        elif len(body) <= SMALL_BODY_BYTES:
            self.write(b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body))
        else:
            await self._write_slices(b"%bContent-Length: %d\r\n\r\n" % (head, len(body)), body)

    async def _write_slices(self, head: bytes, body: bytes) -> None:
        """A large body, as the peer takes it, so that it is never in memory twice."""
        self.write(head)
        view = memoryview(body)
        for start in range(0, len(body), SLICE_BYTES):
            self.write(view[start : start + SLICE_BYTES])
            if self.paused or self.transport.is_closing():
                await self.drain()

    async def _stream(self, item: Incoming, head: bytes, response: Response) -> None:
        """Each chunk goes out as it comes. Leaving out the last chunk tells the peer that the answer is not whole."""
        body = response.body
        assert not isinstance(body, bytes)
        try:
            if item.chunked:
                head += b"Transfer-Encoding: chunked\r\n"
            else:
                item.keep_alive = False
                self.reader.ended = True
            self.write(head + b"\r\n")
            if item.request.method == "HEAD":
                return
            self._streaming = True
            await self._write_chunks(body, chunked=item.chunked)
        finally:
            self._streaming = False
            close = getattr(body, "aclose", None)
            if close is not None:
                await close()

    async def _write_chunks(self, body: AsyncIterator[bytes], *, chunked: bool) -> None:
        if self._ending:
            self.write(LAST_CHUNK if chunked else b"")
            return
        attach = getattr(body, "attach", None)
        if attach is not None:
            attach(self._push_chunk if chunked else self._push)
        try:
            async for data in body:
                if data:
                    self.write(chunk(data) if chunked else data)
                    if self.paused or self.transport.is_closing():
                        await self.drain()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._ending or self.closed or task is None:
                raise
            task.uncancel()  # it was `end_soon`: the stream ends here, in good order
        if chunked:
            self.write(LAST_CHUNK)

    def _push(self, data: bytes) -> bool:
        """Send at once what a streaming body has, while it is awaited. False if the peer is slow or gone."""
        if self.paused or self.closed or self._ending or self.finished or self.transport.is_closing():
            return False
        self.write_now(data)
        return True

    def _push_chunk(self, data: bytes) -> bool:
        return self._push(chunk(data))

    async def _hand_over(self, response: Response) -> None:
        """Send the 101 and give the raw connection away until `takeover` returns."""
        assert response.takeover is not None
        headers = [(n, v) for n, v in response.headers if n.lower() == "upgrade" or n.lower() not in HOP_BY_HOP]
        lines = status_line(101) + header_lines(headers, hop_by_hop=True) + "Connection: Upgrade\r\n\r\n"
        self.write(encode(lines))
        self.deadline = math.inf
        self._reading_paused = False
        held, self.reader.held = b"".join(self.reader.held), []
        stream = self.take_over(held)
        try:
            await response.takeover(stream)
        except ConnectionLost as lost:
            logger.debug("an upgraded connection to %s broke: %s", self.peer, lost)
        finally:
            self.close()

    # small things

    def _linger(self) -> None:
        """
        After a refusal: end our side, but read on for a while, dropping it all.

        Closing with unread input makes the kernel send a reset, which can destroy the answer before it is read.
        """
        self.finish()
        self._lingering = True
        self._resume_reading()
        self._wait_at_most(self._server.limits.linger_seconds)

    def _pause_reading(self) -> None:
        if not self._reading_paused and not self.transport.is_closing():
            self._reading_paused = True
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused:
            self._reading_paused = False
            self.transport.resume_reading()
