"""
The Store on SQLite: one writer thread with group commit.

Writes queue up while the writer thread waits for the disk; it then takes all of them, decides them in order
(batch.py), commits once and reports back to the loop in one call, where events are published before the writers'
futures resolve. So a commit costs one fsync however many clients wait, and whoever was told "done" finds the change
already in every watcher's queue. A write that fails for lack of space leaves revision and state as they were.

What one turn of the loop brings is handed over together. The interpreter is one: a writer that is woken for each write
makes many small commits, and takes it from the loop and waits for it back a dozen times for each.

Rejected: a commit per write (an fsync each: a tenth of the rate); SQLite's own async mode (acknowledges what a power
loss takes back); several writer connections (SQLite has one writer; they would only wait for each other).
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tiphys.store.batch import Decision, Write, decide
from tiphys.store.database import Database, Lock
from tiphys.store.door import Compacted, Entry, Event, FutureRevision, Listener, Page, StoreError, Unavailable
from tiphys.store.feed import Feed
from tiphys.store.history import rewind

HISTORY_MAX = 20_000
GROUP_MAX = 256
# Writes that may wait for the disk before new ones are refused.
BACKLOG_MAX = 10_000
COMPACT_ROWS = 500

T = TypeVar("T")


class _Wake:
    """Makes the writer thread look at the history although no write came."""


_TRIM = _Wake()


@dataclass(slots=True)
class _Pending:
    write: Write
    future: asyncio.Future[int]


# None ends the writer.
_Handed = list[_Pending] | _Wake | None


class SqliteStore:
    """Implements the Store door on one file. Make it with `open()`."""

    def __init__(self, path: Path, history_max: int) -> None:
        self._lock = Lock(path)
        try:
            self._writer = Database(path, writable=True)
            self._reader = Database(path, writable=False)
        except BaseException:
            self._lock.release()
            raise
        self._history_max = history_max
        self._compacted = self._writer.mark("compacted")
        revision = self._writer.revision()
        self._kept_from = self._writer.mark("trimmed")
        self._feed = Feed(self._read_history, revision)
        self._loop = asyncio.get_running_loop()
        self._reads = ThreadPoolExecutor(1, thread_name_prefix="store-read")
        self._inbox: queue.SimpleQueue[_Handed] = queue.SimpleQueue()
        self._gathered: list[_Pending] = []
        self._backlog = 0
        self._closed = False
        self._thread = threading.Thread(target=self._write_loop, name="store-write", daemon=True)
        self._thread.start()

    @classmethod
    async def open(cls, path: Path, history_max: int = HISTORY_MAX) -> SqliteStore:
        """Open or make the database. Damaged or StoreError (in use) when it cannot be served."""
        return cls(path, history_max)

    async def close(self) -> None:
        """Finish the writes that wait, then let go of the file."""
        if self._closed:
            return
        self._closed = True
        self._hand_over()
        self._inbox.put(None)
        await asyncio.to_thread(self._thread.join)
        self._reads.shutdown()
        self._reader.close()
        self._writer.close()
        self._lock.release()

    @property
    def revision(self) -> int:
        return self._feed.revision

    # reads: one thread with its own connection, so a long list never holds up a commit

    async def _read(self, work: Callable[[Database], T]) -> T:
        def snapshot() -> T:
            with self._reader.transaction():
                return work(self._reader)

        return await self._loop.run_in_executor(self._reads, snapshot)

    async def get(self, key: str) -> Entry | None:
        return await self._read(lambda database: database.entries([key]).get(key))

    async def list(self, prefix: str, *, revision: int = 0, limit: int = 0, after: str = "") -> Page:
        if revision == 0:
            return await self._read(lambda database: _page(database, prefix, after, limit))

        def past(database: Database) -> Page:
            newest = database.revision()
            self._check(revision, newest)
            newer = reversed(database.events(prefix, revision, newest, -1))
            entries = [entry for entry in rewind(database.scan(prefix, "", -1), newer) if entry.key > after]
            more = bool(limit) and len(entries) > limit
            return Page(entries[:limit] if limit else entries, revision, more)

        return await self._read(past)

    def _check(self, revision: int, newest: int) -> None:
        if revision > newest:
            raise FutureRevision(f"revision {revision} has not happened yet, the newest is {newest}")
        if revision < self._compacted:
            raise Compacted(f"revision {revision} has been compacted, the oldest is {self._compacted}")

    def watch(self, prefix: str, revision: int) -> AsyncIterator[Sequence[Event]]:
        return self._feed.watch(prefix, revision)

    def listen(self, listener: Listener) -> Callable[[], None]:
        return self._feed.listen(listener)

    async def _read_history(self, prefix: str, after: int, up_to: int, limit: int) -> Sequence[Event]:
        def events(database: Database) -> Sequence[Event]:
            found = database.events(prefix, after, up_to, limit)
            self._check(after, max(after, up_to))
            return found

        return await self._read(events)

    # writes

    async def create(self, key: str, value: bytes) -> int:
        return await self._submit(Write(key, value, None))

    async def update(self, key: str, value: bytes, revision: int) -> int:
        return await self._submit(Write(key, value, revision))

    async def delete(self, key: str, revision: int) -> int:
        return await self._submit(Write(key, None, revision))

    def _submit(self, write: Write) -> asyncio.Future[int]:
        future: asyncio.Future[int] = self._loop.create_future()
        if self._closed:
            future.set_exception(Unavailable("the store is closed"))
        elif self._backlog >= BACKLOG_MAX:
            future.set_exception(Unavailable("too many writes wait for the disk: try again"))
        else:
            self._backlog += 1
            if not self._gathered:
                self._loop.call_soon(self._hand_over)
            self._gathered.append(_Pending(write, future))
        return future

    def _hand_over(self) -> None:
        """What one turn of the loop brought goes to the writer together: to wake it for each would cost more."""
        gathered, self._gathered = self._gathered, []
        for start in range(0, len(gathered), GROUP_MAX):
            self._inbox.put(gathered[start : start + GROUP_MAX])

    async def compact(self, revision: int) -> None:
        """History at and before `revision` is refused from now on; its rows go while no write waits."""
        self._check(min(revision, self.revision), self.revision)
        self._compacted = max(self._compacted, min(revision, self.revision))
        self._inbox.put(_TRIM)

    # the writer thread

    def _write_loop(self) -> None:
        revision = self._feed.revision
        while True:
            group, closing = _next_group(self._inbox)
            if group:
                revision = self._commit(group, revision)
            if closing:
                return
            self._trim(revision)

    def _commit(self, group: Sequence[_Pending], revision: int) -> int:
        writes = [pending.write for pending in group]
        try:
            # Nobody else writes: what is read before the transaction still holds in it.
            current = self._writer.entries(list({write.key for write in writes}))
            decision = decide(writes, current, revision)
            if decision.events:
                self._writer.commit(decision.events)
        except StoreError as error:
            decision = Decision([error] * len(group), ())
        except Exception as error:  # a bug of ours must fail these writes, not end the writer
            decision = Decision([StoreError(f"the write failed: {error!r}")] * len(group), ())
        self._loop.call_soon_threadsafe(self._report, group, decision)
        return decision.events[-1].revision if decision.events else revision

    def _report(self, group: Sequence[_Pending], decision: Decision) -> None:
        """On the loop: publish first, so that a writer that resumes finds its change published."""
        self._backlog -= len(group)
        self._feed.publish(decision.events)
        for pending, outcome in zip(group, decision.outcomes, strict=True):
            if pending.future.done():  # its request was cancelled; the write stands
                continue
            if isinstance(outcome, StoreError):
                pending.future.set_exception(outcome)
            else:
                pending.future.set_result(outcome)

    def _trim(self, revision: int) -> None:
        """Forget the oldest history in small steps; a waiting write comes between two of them."""
        keep_from = self._compacted
        if revision - self._kept_from > self._history_max + self._history_max // 10:
            keep_from = max(keep_from, revision - self._history_max)
        while self._kept_from < keep_from:
            self._compacted = max(self._compacted, keep_from)
            try:
                more = self._writer.compact(keep_from, COMPACT_ROWS)
            except StoreError:  # no space for the deletion's own log: the next commit reports it and tries again
                return
            if not more:
                self._kept_from = keep_from
            if not self._inbox.empty():
                return


def _page(database: Database, prefix: str, after: str, limit: int) -> Page:
    entries = database.scan(prefix, after, limit + 1 if limit else -1)
    more = bool(limit) and len(entries) > limit
    return Page(entries[:limit] if limit else entries, database.revision(), more)


def _next_group(inbox: queue.SimpleQueue[_Handed]) -> tuple[list[_Pending], bool]:
    group: list[_Pending] = []
    while len(group) < GROUP_MAX:
        try:
            item = inbox.get(block=not group)
        except queue.Empty:
            break
        if item is None:
            return group, True
        if isinstance(item, _Wake):
            break
        group += item
    return group, False
