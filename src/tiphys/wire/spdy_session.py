"""
Many streams over one raw connection, with SPDY/3.1.

Flow control goes both ways, with one concession: the library that kubectl uses never sends WINDOW_UPDATE nor minds
it, so a peer's window binds us only once the peer has shown (by SETTINGS or WINDOW_UPDATE) that it keeps windows at
all. Against a peer that keeps none, a reader that falls behind stops the reading of the whole connection: the peer then
waits in TCP, and memory stays bounded.

What the reading loop has to send (PING, WINDOW_UPDATE, RST_STREAM) goes to a small queue with a task of its own,
because two sides that both write from their reading loops can wait for each other for ever.
"""

from __future__ import annotations

import asyncio
from collections import deque

from tiphys.wire.link import ConnectionLost
from tiphys.wire.messages import Stream
from tiphys.wire.spdy import (
    CANCEL,
    INITIAL_WINDOW_SIZE,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_ID_MAX,
    Data,
    Decoder,
    Encoder,
    Frame,
    GoAway,
    Headers,
    MoreHeaders,
    Ping,
    Reset,
    Settings,
    SpdyError,
    SynReply,
    SynStream,
    WindowUpdate,
)

DEFAULT_WINDOW = 65536
OUR_WINDOW = 262144
UNREAD_BYTES_MAX = 1024 * 1024
DATA_BYTES_MAX = 32768
STREAMS_MAX = 1000
URGENT_MAX = 10_000


class StreamReset(ConnectionLost):
    """The peer ended this one stream with RST_STREAM."""


class SpdyStream:
    """One stream of a session; a `Stream`. Made by `SpdySession.open` and `accept`."""

    def __init__(self, session: SpdySession, stream_id: int, headers: Headers) -> None:
        self.id = stream_id
        self.headers = dict(headers)
        self.send_window = session.peer_window
        self.reply: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.output_ended = False
        self.input_ended = False
        self._session = session
        self._chunks: deque[bytes] = deque()
        self._unread = 0
        self._consumed = 0
        self._error: Exception | None = None
        self._changed = asyncio.Event()

    async def read(self, max_bytes: int = 65536) -> bytes:
        """The next bytes, b"" at the end. Raises StreamReset or ConnectionLost."""
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self.input_ended:
                return b""
            self._changed.clear()
            await self._changed.wait()
        chunk = self._chunks.popleft()
        if len(chunk) > max_bytes:
            self._chunks.appendleft(chunk[max_bytes:])
            chunk = chunk[:max_bytes]
        self._unread -= len(chunk)
        self._consumed += len(chunk)
        if self._consumed >= OUR_WINDOW // 2 and not self.input_ended:
            self._session.send_soon(WindowUpdate(self.id, self._consumed))
            self._consumed = 0
        self._session.consumed(len(chunk))
        return chunk

    async def write(self, data: bytes) -> None:
        """Send all of `data`; waits for the peer's window. Raises StreamReset or ConnectionLost."""
        view = memoryview(data)
        while view:
            room = await self._session.room(self, min(len(view), DATA_BYTES_MAX))
            await self._session.send(Data(self.id, bytes(view[:room])))
            view = view[room:]

    async def close_output(self) -> None:
        """No more comes from us (FIN)."""
        if not self.output_ended and self._error is None:
            self.output_ended = True
            await self._session.send(Data(self.id, b"", fin=True))
            self._session.forget_if_done(self)

    async def close(self) -> None:
        """End both directions; the peer is told by RST_STREAM if it still sends."""
        if self._error is None and not self.input_ended:
            await self.reset(CANCEL)
        elif self._error is None:
            await self.close_output()

    async def reset(self, status: int) -> None:
        if self._error is None:
            self.fail(StreamReset("the stream was closed"))
            await self._session.send(Reset(self.id, status))
            self._session.forget(self)

    # what the session calls

    @property
    def error(self) -> Exception | None:
        return self._error

    @property
    def unread(self) -> int:
        return self._unread

    def feed(self, data: bytes) -> None:
        if data and not self.input_ended and self._error is None:
            self._chunks.append(data)
            self._unread += len(data)
            self._changed.set()
        else:
            self._session.consumed(len(data))

    def feed_end(self) -> None:
        self.input_ended = True
        self._changed.set()

    def fail(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
            self._changed.set()
            if not self.reply.done():
                self.reply.set_exception(error)
                self.reply.exception()


class SpdySession:
    """
    One side of a connection. `run` must run as long as the session is used; when it returns, the session is over.

    ```
    async with asyncio.TaskGroup() as group:
        running = group.create_task(session.run())
        while (stream := await session.accept()) is not None: ...
    ```
    """

    def __init__(self, stream: Stream, *, client: bool) -> None:
        self.peer_window = DEFAULT_WINDOW
        self._stream = stream
        self._encoder = Encoder()
        self._decoder = Decoder()
        self._next_id = 1 if client else 2
        self._last_peer_id = 0
        self._streams: dict[int, SpdyStream] = {}
        self._arrived: asyncio.Queue[SpdyStream | None] = asyncio.Queue()
        self._writing = asyncio.Lock()
        self._urgent: list[Frame] = [
            Settings({INITIAL_WINDOW_SIZE: OUR_WINDOW}),
            WindowUpdate(0, OUR_WINDOW),
        ]
        self._urgent_changed = asyncio.Event()
        self._urgent_changed.set()
        self._peer_keeps_windows = False
        self._session_window = DEFAULT_WINDOW
        self._session_consumed = 0
        self._room_changed = asyncio.Event()
        self._read_changed = asyncio.Event()
        self._over: Exception | None = None
        self._going_away = False

    async def run(self) -> None:
        """Read frames until the connection ends. Does not raise: streams and `accept` tell how it ended."""
        flushing = asyncio.ensure_future(self._flush_urgent())
        error: Exception = ConnectionLost("the connection has ended")
        try:
            while data := await self._stream.read():
                for frame in self._decoder.feed(data):
                    await self._received(frame)
        except ConnectionLost as lost:
            error = lost
        except SpdyError as broken:
            error = ConnectionLost(f"the peer broke the protocol: {broken}")
        finally:
            flushing.cancel()
            await asyncio.gather(flushing, return_exceptions=True)
            self._end(error)
            await self._stream.close()

    async def open(self, headers: Headers, *, fin: bool = False) -> SpdyStream:
        """A new stream; `await stream.reply` for the peer's consent. Raises ConnectionLost."""
        if self._over is not None:
            raise self._over
        if self._going_away or self._next_id > STREAM_ID_MAX:
            raise ConnectionLost("the session takes no new streams")
        async with self._writing:
            stream = SpdyStream(self, self._next_id, headers)
            stream.output_ended = fin
            self._next_id += 2
            self._streams[stream.id] = stream
            await self._stream.write(self._encoder.encode(SynStream(stream.id, headers, fin)))
        return stream

    async def accept(self) -> SpdyStream | None:
        """The next stream that the peer opened (it has been replied to); None when the session is over."""
        if self._over is not None and self._arrived.empty():
            return None
        return await self._arrived.get()

    async def ping(self) -> None:
        """Whether the peer is there: to one that is gone the write fails, sooner or later. Raises ConnectionLost."""
        await self.send(Ping(self._next_id % 2 or 2))

    async def close(self) -> None:
        """Say GOAWAY and end the connection."""
        if self._over is None:
            try:
                await self.send(GoAway(self._last_peer_id))
            except ConnectionLost:
                pass
        self._end(ConnectionLost("the session was closed"))
        await self._stream.close()

    # what streams call

    async def send(self, frame: Frame) -> None:
        async with self._writing:
            if self._over is not None:
                raise self._over
            # A SYN_REPLY that waits in the queue must not be overtaken by the data of its stream.
            await self._stream.write(self._take_urgent() + self._encoder.encode(frame))

    def send_soon(self, frame: Frame) -> None:
        self._urgent.append(frame)
        self._urgent_changed.set()

    async def room(self, stream: SpdyStream, wanted: int) -> int:
        """How much of `wanted` may be sent now, taken from the windows; waits until it is something."""
        while True:
            if stream.error is not None:
                raise stream.error
            if stream.output_ended:
                raise ConnectionLost("the stream's output has been closed")
            room = min(wanted, stream.send_window, self._session_window) if self._peer_keeps_windows else wanted
            if room > 0:
                stream.send_window -= room
                self._session_window -= room
                return room
            self._room_changed.clear()
            await self._room_changed.wait()

    def consumed(self, size: int) -> None:
        self._session_consumed += size
        if self._session_consumed >= OUR_WINDOW // 2:
            self.send_soon(WindowUpdate(0, self._session_consumed))
            self._session_consumed = 0
        self._read_changed.set()

    def forget_if_done(self, stream: SpdyStream) -> None:
        if stream.output_ended and stream.input_ended:
            self.forget(stream)

    def forget(self, stream: SpdyStream) -> None:
        self._streams.pop(stream.id, None)
        self._room_changed.set()
        self._read_changed.set()

    # frames

    async def _received(self, frame: Frame) -> None:
        match frame:
            case Data(stream_id, data, fin):
                await self._data(stream_id, data, fin=fin)
            case SynStream():
                self._syn(frame)
            case SynReply(stream_id, _, fin) | MoreHeaders(stream_id, _, fin):
                stream = self._streams.get(stream_id)
                if stream is not None:
                    if not stream.reply.done():
                        stream.reply.set_result(None)
                    if fin:
                        self._finished(stream)
            case Reset(stream_id, status):
                stream = self._streams.get(stream_id)
                if stream is not None:
                    stream.fail(StreamReset(f"the peer reset the stream (status {status})"))
                    self.forget(stream)
            case Settings(values):
                self._settle(values.get(INITIAL_WINDOW_SIZE))
            case WindowUpdate(stream_id, delta):
                self._widen(stream_id, delta & STREAM_ID_MAX)
            case Ping(ping_id):
                if ping_id % 2 != self._next_id % 2:  # the peer's own; answers to ours are not asked for
                    self.send_soon(frame)
            case GoAway():
                self._going_away = True
        if len(self._urgent) > URGENT_MAX:
            raise SpdyError("the peer does not read its answers")

    def _syn(self, frame: SynStream) -> None:
        stream_id = frame.stream_id
        if stream_id % 2 == self._next_id % 2 or stream_id <= self._last_peer_id:
            raise SpdyError(f"stream {stream_id} is not the peer's next")
        self._last_peer_id = stream_id
        # Those that nobody accepts count even when they were reset.
        if max(len(self._streams), self._arrived.qsize()) >= STREAMS_MAX:
            self.send_soon(Reset(stream_id, REFUSED_STREAM))
            return
        stream = SpdyStream(self, stream_id, frame.headers)
        stream.reply.set_result(None)
        stream.output_ended = frame.unidirectional
        self._streams[stream_id] = stream
        self.send_soon(SynReply(stream_id))
        if frame.fin:
            stream.feed_end()
        self._arrived.put_nowait(stream)

    async def _data(self, stream_id: int, data: bytes, *, fin: bool) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            self.consumed(len(data))  # of a stream that we have closed: in flight still
            if stream_id > max(self._last_peer_id, self._next_id):
                self.send_soon(Reset(stream_id, PROTOCOL_ERROR))
            return
        stream.feed(data)
        if fin:
            self._finished(stream)
        while stream.unread > UNREAD_BYTES_MAX and self._streams.get(stream_id) is stream:
            self._read_changed.clear()
            await self._read_changed.wait()

    def _finished(self, stream: SpdyStream) -> None:
        stream.feed_end()
        self.forget_if_done(stream)

    def _settle(self, window: int | None) -> None:
        if window is not None:
            for stream in self._streams.values():
                stream.send_window += window - self.peer_window
            self.peer_window = window
            self._peer_keeps_windows = True
            self._room_changed.set()

    def _widen(self, stream_id: int, delta: int) -> None:
        self._peer_keeps_windows = True
        if stream_id == 0:
            self._session_window += delta
        elif stream_id in self._streams:
            self._streams[stream_id].send_window += delta
        self._room_changed.set()

    # the end, and the small queue

    async def _flush_urgent(self) -> None:
        while True:
            await self._urgent_changed.wait()
            self._urgent_changed.clear()
            async with self._writing:
                data = self._take_urgent()
                if data:
                    try:
                        await self._stream.write(data)
                    except ConnectionLost:
                        return  # the reading loop learns it too

    def _take_urgent(self) -> bytes:
        frames, self._urgent = self._urgent, []
        return b"".join([self._encoder.encode(frame) for frame in frames])

    def _end(self, error: Exception) -> None:
        if self._over is None:
            self._over = error
            for stream in list(self._streams.values()):
                if not (stream.input_ended and stream.output_ended):
                    stream.fail(error)
            self._streams.clear()
            self._arrived.put_nowait(None)
            self._room_changed.set()
            self._read_changed.set()
