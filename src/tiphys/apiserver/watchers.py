"""
One watcher: a bounded queue of ready frames between the cache and one connection.

A change is framed once for each view (plain JSON, another version, a table) and the same bytes object goes to every
watcher. A watcher that does not read is cut when its queue is full: it gets a 410 in the stream and lists again. The
cache never waits for anyone.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Protocol

import orjson

from tiphys.api import errors
from tiphys.apiserver.records import Record

# Frames, and bytes of frames, that may wait for one connection before it is cut.
QUEUE_MAX = 10_000
QUEUE_BYTES_MAX = 32 * 1024 * 1024
# Frames are joined into chunks of about this size: what a slow connection has been given is a copy of its own.
CHUNK_BYTES = 256 * 1024

ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"


# Takes a chunk at once, or says False: the peer is slow, the chunk is to wait.
Sink = Callable[[bytes], bool]


class View(Protocol):
    """How objects are shown to a watcher. Watchers with one view object share its frames if it is `shared`."""

    @property
    def shared(self) -> bool: ...

    def frame(self, kind: str, record: Record) -> bytes:
        """One line of the stream for an object."""

    def bookmark(self, revision: int, *, initial_events_end: bool) -> bytes:
        """One line that only tells the revision."""


class Plain:
    """The stored version as JSON: what nearly every watcher takes."""

    __slots__ = ("_api_version", "_kind")
    shared = True

    def __init__(self, kind: str, api_version: str) -> None:
        self._kind = kind
        self._api_version = api_version

    def frame(self, kind: str, record: Record) -> bytes:
        return b'{"type":"%b","object":%b%b}\n' % (kind.encode(), record.head, record.tail)

    def bookmark(self, revision: int, *, initial_events_end: bool) -> bytes:
        return bookmark_frame(self._kind, self._api_version, revision, initial_events_end=initial_events_end)


@functools.cache
def plain(kind: str, api_version: str) -> Plain:
    """The one Plain view of a kind, so that all its watchers share frames."""
    return Plain(kind, api_version)


def bookmark_frame(kind: str, api_version: str, revision: int, *, initial_events_end: bool) -> bytes:
    """A BOOKMARK event: an object of the kind with nothing but a resourceVersion."""
    metadata: errors.Object = {"resourceVersion": str(revision)}
    if initial_events_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    event = {"type": "BOOKMARK", "object": {"kind": kind, "apiVersion": api_version, "metadata": metadata}}
    return orjson.dumps(event) + b"\n"


def error_frame(error: errors.StatusError) -> bytes:
    """An ERROR event: the last line of a stream that cannot go on."""
    return orjson.dumps({"type": "ERROR", "object": error.status}) + b"\n"


class Change:
    """One write as watchers see it; `record` is the new state, or the last one at the revision of its delete."""

    __slots__ = ("_frames", "deleted", "kind", "previous", "record", "revision", "seconds")

    def __init__(self, record: Record, previous: Record | None, *, deleted: bool, seconds: float) -> None:
        self.record = record
        self.previous = previous
        self.deleted = deleted
        self.seconds = seconds
        self.revision = record.revision
        self.kind = DELETED if deleted else MODIFIED if previous is not None else ADDED  # to who watches everything
        self._frames: dict[tuple[str, View], bytes] = {}

    def frame(self, kind: str, view: View) -> bytes:
        """The line for this change, made once for each shared view."""
        if not view.shared:
            return view.frame(kind, self.record)
        frame = self._frames.get((kind, view))
        if frame is None:
            frame = self._frames[(kind, view)] = view.frame(kind, self.record)
        return frame


class Watcher:
    """
    Made by Collection.watch; `stream()` is the body of the answer.

    `selects` says whether the watcher's selectors match a record; None is everything. An object that stops matching is
    told as DELETED and one that starts matching as ADDED, as Kubernetes does.
    """

    __slots__ = (
        "_deadline", "_ended", "_is_idle", "_queue", "_selects", "_sink", "_size", "_waiter",
        "bookmarks", "on_close", "revision", "view",
    )  # fmt: skip

    def __init__(self, view: View, selects: Callable[[Record], bool] | None, *, bookmarks: bool) -> None:
        self.view = view
        self.bookmarks = bookmarks
        self.revision = 0
        self.on_close: Callable[[Watcher], None] | None = None
        self._selects = selects
        self._queue: deque[bytes] = deque()
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None
        self._is_idle = False  # the stream waits, nothing is queued and it has not ended
        self._sink: Sink | None = None
        self._ended = False
        self._deadline: asyncio.TimerHandle | None = None

    def tell(self, change: Change) -> None:
        """
        The only change of a batch, in scope: sent in this very call if the connection takes it and nothing waits before
        it, which spares each watcher a queue and a task's turn.
        """
        frame = self._seen(change)
        if frame and (not self._is_idle or self._sink is None or not self._sink(frame)):
            self._queue_up(frame)
            self._wake()

    def offer(self, change: Change) -> None:
        """One of several changes of a batch, in order; `deliver` follows after the last."""
        frame = self._seen(change)
        if frame:
            self._queue_up(frame)

    def _seen(self, change: Change) -> bytes:
        """The line for a change in scope, b"" where this watcher does not see it."""
        kind = self.kind_of(change)
        self.revision = change.revision
        return change.frame(kind, self.view) if kind else b""

    def deliver(self) -> None:
        """Send what waits, at once if the connection takes it."""
        if self._queue and self._is_idle:
            if self._sink is not None and not self._ended:
                chunk = self._taken()
                if not self._sink(chunk):
                    self._queue.appendleft(chunk)
                    self._size += len(chunk)
            if self._queue:
                self._wake()

    def attach(self, sink: Sink) -> None:
        """Where to send to while `stream` has nothing to do."""
        self._sink = sink

    def kind_of(self, change: Change) -> str:
        """ADDED, MODIFIED or DELETED as this watcher sees it; empty if it does not."""
        previous = change.previous
        if self._selects is None:
            return change.kind
        before = previous is not None and self._selects(previous)
        now = not change.deleted and self._selects(change.record)
        if now:
            return MODIFIED if before else ADDED
        return DELETED if before else ""

    def push(self, frame: bytes) -> None:
        """Queue one line and send it; a full queue cuts the watcher."""
        self._queue_up(frame)
        self._wake()

    def _queue_up(self, frame: bytes) -> None:
        if self._ended:
            return
        self._size += len(frame)
        if len(self._queue) >= QUEUE_MAX or self._size > QUEUE_BYTES_MAX:
            self._queue.clear()
            self._size = 0
            self._queue.append(error_frame(errors.expired("too many events wait for this watcher, list again")))
            self._ended = True
        else:
            self._queue.append(frame)

    def bookmark(self, revision: int) -> None:
        """Tell a watcher that asked for it how far it is."""
        if self.bookmarks and revision > self.revision:
            self.revision = revision
            self.push(self.view.bookmark(revision, initial_events_end=False))

    def end(self) -> None:
        """Finish the stream once what waits has been sent."""
        self._ended = True
        self._wake()

    def end_after(self, seconds: float) -> None:
        self._deadline = asyncio.get_running_loop().call_later(seconds, self.end)

    def _wake(self) -> None:
        self._is_idle = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def stream(self, initial: Iterable[bytes] = ()) -> AsyncIterator[bytes]:
        """First the lines of `initial`, then whatever is pushed, joined as it comes."""
        try:
            for chunk in _in_chunks(initial):
                yield chunk
            while True:
                if self._queue:
                    yield self._taken()
                elif self._ended:
                    return
                else:
                    await self._wait()
        finally:
            self.close()

    def _taken(self) -> bytes:
        """The next chunk of what waits."""
        queue = self._queue
        if len(queue) == 1:
            self._size = 0
            return queue.popleft()
        chunk: list[bytes] = []
        size = 0
        while queue and size < CHUNK_BYTES:
            chunk.append(queue.popleft())
            size += len(chunk[-1])
        self._size -= size
        return b"".join(chunk)

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        self._is_idle = True
        try:
            await self._waiter
        finally:
            self._is_idle = False
            self._waiter = None

    def close(self) -> None:
        """Leave the cache; may be called twice."""
        self.end()
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self.on_close is not None:
            on_close, self.on_close = self.on_close, None
            on_close(self)


def _in_chunks(frames: Iterable[bytes]) -> Iterable[bytes]:
    chunk: list[bytes] = []
    size = 0
    for frame in frames:
        chunk.append(frame)
        size += len(frame)
        if size >= CHUNK_BYTES:
            yield b"".join(chunk)
            chunk, size = [], 0
    if chunk:
        yield b"".join(chunk)
