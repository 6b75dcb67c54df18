"""
The client's side of one connection: one request at a time, its answer parsed as it comes.

An answer of known, moderate length is given whole; any other is an iterator of chunks, which holds the server back
while nobody reads. The connection goes back to its pool when the answer has been read to its end.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import httptools

from tiphys.wire.head import HOP_BY_HOP
from tiphys.wire.link import ConnectionLost, Link
from tiphys.wire.messages import Response

UNREAD_BYTES_MAX = 262144
# Answers with a Content-Length up to this are given whole.
WHOLE_BYTES_MAX = 64 * 1024 * 1024
HEAD_BYTES_MAX = 1024 * 1024
SLICE_BYTES = 131072


class BadAnswer(ConnectionError):
    """The server does not speak HTTP/1.1 as it should."""


class Unread:
    """The chunks of an answer that have come and were not read yet."""

    __slots__ = ("_chunks", "_connection", "_error", "_paused", "_size", "_waiter", "_whole")

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._whole = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False

    async def next(self) -> bytes:
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._whole:
                raise StopAsyncIteration
            self._waiter = self._connection.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        chunk = self._chunks.popleft()
        self._size -= len(chunk)
        if self._paused and self._size <= UNREAD_BYTES_MAX // 2:
            self._resume()
        return chunk

    def give_up(self) -> None:
        """Nobody reads on: the connection ends, unless the answer is whole already."""
        if not self._whole and self._error is None:
            self._error = ConnectionLost("the answer was closed by its reader")
            self._connection.abort()

    def take(self) -> bytes:
        """All that has come."""
        whole = b"".join(self._chunks)
        self._chunks.clear()
        return whole

    def feed(self, data: bytes, *, bounded: bool) -> None:
        self._chunks.append(data)
        self._size += len(data)
        if bounded and self._size > UNREAD_BYTES_MAX and not self._paused:
            self._paused = True
            self._connection.transport.pause_reading()
        self._wake()

    def finish(self) -> None:
        self._whole = True
        if self._paused:
            self._resume()
        self._wake()

    def fail(self, error: Exception) -> None:
        if not self._whole and self._error is None:
            self._error = error
            self._wake()

    def _resume(self) -> None:
        self._paused = False
        if not self._connection.closed:
            self._connection.transport.resume_reading()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Body:
    """An answer as an iterator of chunks. Closed or dropped before its end, it ends the connection."""

    __slots__ = ("_unread",)

    def __init__(self, unread: Unread) -> None:
        self._unread = unread

    def __aiter__(self) -> Body:
        return self

    async def __anext__(self) -> bytes:
        return await self._unread.next()

    async def aclose(self) -> None:
        self._unread.give_up()

    def __del__(self) -> None:
        # Dropped half-read, it would keep its place in the pool for ever.
        self._unread.give_up()


class ClientConnection(Link):
    """`exchange` one request after the other; `done` is called after each, and once when the connection has ended."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, buffer: memoryview, done: Callable[[ClientConnection], None]
    ) -> None:
        super().__init__(loop, buffer)
        self.ready: asyncio.Future[None] = loop.create_future()
        self.reusable = True
        self.answered_once = False  # the server has answered something: a later failure may be a stale connection
        self.idle_since = 0.0
        self._done = done
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Response] | None = None
        self._body: Unread | None = None
        self._headers: list[tuple[str, str]] = []
        self._head_size = 0
        self._length: int | None = None
        self._until_end = False
        self._head_only = False
        self._sending = False
        self._asked = False
        self.heard = False  # something of the current answer has come

    async def exchange(self, head: bytes, body: bytes, *, head_only: bool) -> Response:
        """Send a request and wait for the head of its answer (or the whole, see above). Raises ConnectionError."""
        if self.closed:
            raise ConnectionLost("the server has closed the connection")
        answer = self._answer = self.loop.create_future()
        self._head_only = head_only
        self._asked = True
        self.heard = False
        if len(body) <= SLICE_BYTES:
            self.write(head + body)
        else:
            self.write(head)
            self._sending = True
            await self._send_slices(memoryview(body), answer)
            self._sending = False
        return await answer

    async def _send_slices(self, body: memoryview, answer: asyncio.Future[Response]) -> None:
        for start in range(0, len(body), SLICE_BYTES):
            if answer.done():
                return  # refused before it was read
            self.write(body[start : start + SLICE_BYTES])
            try:
                await self.drain()
            except ConnectionLost:
                if not answer.done():
                    raise
                return  # the answer says more than the break

    # the link

    def opened(self) -> None:
        if not self.ready.done():
            self.ready.set_result(None)

    def received(self, data: bytes) -> None:
        self.heard = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offset:
            self._switched(data[offset.args[0] :])
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._break(cause if isinstance(cause, BadAnswer) else BadAnswer(f"malformed answer: {error}"))

    def ended(self) -> None:
        if self._until_end and self._body is not None:
            self.reusable = False
            self.on_message_complete()
        self._break(ConnectionLost("the server has closed the connection"))

    def lost(self, error: Exception | None) -> None:
        if not isinstance(error, ConnectionError) and self.ready.done():
            error = ConnectionLost(f"the connection broke: {error}" if error else "the connection broke")
        self._break(error or ConnectionLost("the connection broke"))
        self.reusable = False
        self._done(self)

    def _break(self, error: Exception) -> None:
        self.reusable = False
        if not self.ready.done():
            self.ready.set_exception(error)
            self.ready.exception()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
            self._answer.exception()
        if self._body is not None:
            self._body.fail(error)
        if self.stream is None:
            self.abort()

    def _switched(self, rest: bytes) -> None:
        answer, self._answer = self._answer, None
        if answer is None or answer.done():
            self.abort()
            return
        headers = [header for header in self._headers if header[0] == "upgrade" or header[0] not in HOP_BY_HOP]
        self.reusable = False
        answer.set_result(Response(101, headers, stream=self.take_over(rest)))

    # httptools' callbacks

    def on_message_begin(self) -> None:
        if not self._asked:
            raise BadAnswer("the server sent an answer that nobody asked for")
        self._headers = []
        self._head_size = 0
        self._length = None
        self._until_end = False
        self._body = None

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._body is not None:
            return  # a trailer
        self._head_size += len(name) + len(value)
        if self._head_size > HEAD_BYTES_MAX:
            raise BadAnswer("the head of the answer is too large")
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1").rstrip(" \t")))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            return  # an interim answer, or 101: then HttpParserUpgrade follows
        headers = dict(self._headers)
        self._length = int(headers["content-length"]) if "content-length" in headers else None
        chunked = "transfer-encoding" in headers
        bodiless = self._head_only or status in (204, 304)
        self.reusable = self._parser.should_keep_alive() and not (self._head_only and (chunked or self._length))
        self._until_end = not chunked and self._length is None and not bodiless
        self._body = Unread(self)
        if self._head_only:
            self.on_message_complete()
        elif not bodiless and (self._length is None or self._length > WHOLE_BYTES_MAX):
            self._resolve(Body(self._body))

    def on_body(self, data: bytes) -> None:
        if self._body is not None:
            self._body.feed(data, bounded=self._answer is None)

    def on_message_complete(self) -> None:
        body, self._body = self._body, None
        if body is None:
            if self._parser.get_status_code() == 101 and not self._parser.should_upgrade():
                raise BadAnswer("the server switched protocols without saying to which")
            return
        body.finish()
        self._resolve(body)
        self._asked = False
        self._until_end = False
        self.answered_once = True
        if self._sending:
            self.reusable = False  # answered before the whole request was sent
        self._done(self)

    def _resolve(self, body: Body | Unread) -> None:
        # Nothing of ours may keep the answer: its body notices when it is dropped.
        answer, self._answer = self._answer, None
        if answer is None or answer.done():
            return
        headers = [header for header in self._headers if header[0] not in HOP_BY_HOP]
        status = self._parser.get_status_code()
        answer.set_result(Response(status, headers, body if isinstance(body, Body) else body.take()))
