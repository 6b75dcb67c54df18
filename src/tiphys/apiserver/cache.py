"""
The watch cache: every stored object as ready bytes, in key order, and the recent changes of each collection.

The cache follows the store; nothing else writes here. A read first waits until the cache has reached the revision the
store has acknowledged (`caught_up`), so what a client was told is seen by every read after it. A store in the same
process tells of a commit before it acknowledges it, so that wait is over before it starts; the watch, in its task,
brings what was committed before and whatever was missed.

Each collection keeps its own recent changes. So a busy kind never expires the watches of a quiet one, and a version
that was handed out can be watched from for as long as its own collection's changes are kept.

Rejected: one ring for all kinds (events would expire everybody's watches), and a decoded object per entry (ten times
the memory, and LIST would encode again what the store already holds encoded).
"""

from __future__ import annotations

import asyncio
import bisect
import functools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from tiphys.api import errors, resources
from tiphys.api.resources import Resource
from tiphys.apiserver.bodies import Bodies
from tiphys.apiserver.call import Object
from tiphys.apiserver.records import ROOT, NoSealer, Record, Sealer, collection_prefix, key_of, prefix_of
from tiphys.apiserver.watchers import Change, View, Watcher
from tiphys.store.door import Event, Store
from tiphys.store.history import prefix_end

# Changes are kept this long, so that a client that lists and then watches always can, up to a hard bound.
CHANGES_SECONDS = 120.0
CHANGES_MIN, CHANGES_MAX = 500, 100_000
# A read at a revision that is still to come waits this long, then says "too large".
FUTURE_WAIT_SECONDS = 3.0
BOOKMARK_SECONDS = 60.0
LOAD_PAGE = 5_000


PODS_PREFIX = "/registry/pods/"
_NODE_SCOPE = "node:"


def node_scope(node: str) -> str:
    """The watch scope of one node's pods: thousands of agents watch, each event concerns one or two of them."""
    return _NODE_SCOPE + node


class Collection:
    """All objects of one resource: records in key order, recent changes, watchers by scope."""

    def __init__(self, prefix: str, revision: int) -> None:
        self.prefix = prefix
        self.keys: list[str] = []
        self.records: list[Record] = []
        # Changes after this revision are all in `changes`.
        self.since = revision
        # The newest change, so that a list at an older revision knows whether anything differs.
        self.modified = revision
        self.changes: deque[Change] = deque()
        # A scope is a key prefix, a whole key, or `node_scope` for the pods of one node.
        self._watchers: dict[str, dict[Watcher, None]] = {}  # a set in order: neighbours in memory
        self._untold: list[Change] = []
        self._by_node = 0  # how many of the scopes are nodes
        self.watcher_count = 0

    def span(self, prefix: str, after: str = "") -> tuple[int, int]:
        """The index range of keys under `prefix` that follow `after`."""
        low = bisect.bisect_left(self.keys, prefix)
        if after:
            low = max(low, bisect.bisect_right(self.keys, after))
        high = len(self.keys) if prefix == self.prefix else bisect.bisect_left(self.keys, prefix_end(prefix))
        return low, max(low, high)

    def put(self, record: Record) -> Record | None:
        """Insert or replace; returns what was there."""
        index = bisect.bisect_left(self.keys, record.key)
        if index < len(self.keys) and self.keys[index] == record.key:
            previous, self.records[index] = self.records[index], record
            return previous
        self.keys.insert(index, record.key)
        self.records.insert(index, record)
        return None

    def drop(self, key: str) -> Record | None:
        """Remove; returns what was there."""
        index = bisect.bisect_left(self.keys, key)
        if index < len(self.keys) and self.keys[index] == key:
            del self.keys[index]
            return self.records.pop(index)
        return None

    def note(self, change: Change) -> None:
        """Remember a change, forget old ones; `deliver` tells the watchers."""
        self.changes.append(change)
        self.modified = change.revision
        while len(self.changes) > CHANGES_MIN and (
            len(self.changes) > CHANGES_MAX or change.seconds - self.changes[0].seconds > CHANGES_SECONDS
        ):
            self.since = self.changes.popleft().revision
        if self._watchers:
            self._untold.append(change)

    def deliver(self) -> None:
        """A batch is over: watchers get what is theirs of it, together. Most batches are one change."""
        changes, self._untold = self._untold, []
        if len(changes) == 1:
            for watchers in self._in_scope(changes[0]):
                for watcher in tuple(watchers):
                    watcher.tell(changes[0])
            return
        offered: dict[Watcher, None] = {}
        for change in changes:
            for watchers in self._in_scope(change):
                for watcher in watchers:
                    watcher.offer(change)
                offered |= watchers
        for watcher in offered:
            watcher.deliver()

    def _in_scope(self, change: Change) -> Iterator[dict[Watcher, None]]:
        for scope in self._scopes(change):
            watchers = self._watchers.get(scope)
            if watchers:
                yield watchers

    def _scopes(self, change: Change) -> Iterator[str]:
        key = change.record.key
        yield self.prefix
        namespace_end = key.find("/", len(self.prefix))
        if namespace_end > 0:
            yield key[: namespace_end + 1]
        yield key
        if self._by_node:
            nodes = {change.record.node_name}
            if change.previous is not None:
                nodes.add(change.previous.node_name)
            yield from (node_scope(node) for node in nodes if node)

    def changes_after(self, revision: int) -> list[Change]:
        """Every change after `revision`, oldest first. Cheap for a recent revision: it walks from the new end."""
        found: list[Change] = []
        for change in reversed(self.changes):
            if change.revision <= revision:
                break
            found.append(change)
        found.reverse()
        return found

    def watch(self, scope: str, watcher: Watcher) -> None:
        """Every later change in scope is offered to the watcher until it closes."""
        if scope not in self._watchers:
            self._watchers[scope] = {}
            self._by_node += scope.startswith(_NODE_SCOPE)
        self._watchers[scope][watcher] = None
        self.watcher_count += 1
        watcher.on_close = lambda closed: self._leave(scope, closed)

    def _leave(self, scope: str, watcher: Watcher) -> None:
        watchers = self._watchers.get(scope)
        if watchers is not None:
            watchers.pop(watcher, None)
            self.watcher_count -= 1
            if not watchers:
                del self._watchers[scope]
                self._by_node -= scope.startswith(_NODE_SCOPE)

    def watchers(self) -> Iterator[Watcher]:
        for watchers in self._watchers.values():
            yield from watchers


class Cache:
    """The Reader of admission and strategies, and what GET, LIST and WATCH answer from."""

    def __init__(self, store: Store, sealer: Sealer | None = None) -> None:
        self._store = store
        self._sealer = sealer or NoSealer()
        self._collections: dict[str, Collection] = {}
        self._by_key: dict[str, Record] = {}
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._loaded = 0
        self.revision = 0
        self.bodies = Bodies()  # of lists
        self._failure: Exception | None = None
        # Called with every change, in order: allocators and authorization indexes follow the store this way.
        self.listeners: list[Callable[[Change], None]] = []

    # ── following the store ──────────────────────────────────────────────────────────────────────────────────────

    async def load(self) -> None:
        """Read everything once; afterwards `run` follows."""
        revision, after, more = 0, "", True
        while more:
            page = await self._store.list(ROOT, revision=revision, limit=LOAD_PAGE, after=after)
            revision, more = page.revision, page.more
            for entry in page.entries:
                self._load_one(self._record(entry.key, entry.value, entry.revision))
            after = page.entries[-1].key if page.entries else ""
        self.revision = self._loaded = revision
        for collection in self._collections.values():
            collection.since = collection.modified = revision

    def _load_one(self, record: Record) -> None:
        self._by_key[record.key] = record
        collection = self._collection(collection_prefix(record.key))
        collection.keys.append(record.key)
        collection.records.append(record)

    async def run(self) -> None:
        """Follow the store until cancelled."""
        stop = self._store.listen(self._hear)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send_bookmarks())
                async for batch in self._store.watch(ROOT, self.revision):
                    if self._failure is not None:
                        raise self._failure
                    if batch[-1].revision > self.revision:
                        self.apply([event for event in batch if event.revision > self.revision])
        finally:
            stop()

    def _hear(self, events: Sequence[Event]) -> None:
        """
        Take a commit in while it is published, so that whoever wrote, and whoever comes next, finds it here.

        Only what follows at once on what is here: all else, and the end after a failure, is the watch's.
        """
        if events[0].revision != self.revision + 1 or self._failure is not None:
            return
        try:
            self.apply(events)
        except Exception as error:
            self._failure = error  # `run` raises it: a cache that missed something must not go on

    def apply(self, events: Sequence[Event]) -> None:
        """Take committed changes in; the one place that changes the cache."""
        now = time.monotonic()
        changed = {self._apply_one(event, now) for event in events}
        if self._waiters:
            self._wake()
        for collection in changed:
            collection.deliver()

    def _apply_one(self, event: Event, now: float) -> Collection:
        key = event.key
        collection = self._collection(collection_prefix(key))
        if event.value is not None:
            record = self._record(key, event.value, event.revision)
            self._by_key[key] = record
            change = Change(record, collection.put(record), deleted=False, seconds=now)
        else:
            self._by_key.pop(key, None)
            previous = collection.drop(key)
            if previous is None:
                self.revision = event.revision
                return collection
            last = event.previous.value if event.previous is not None else b""
            record = self._record(key, last, event.revision)
            change = Change(record, previous, deleted=True, seconds=now)
        self.revision = event.revision
        collection.note(change)
        for listener in self.listeners:
            listener(change)
        return collection

    def _record(self, key: str, value: bytes, revision: int) -> Record:
        return Record(key, value if value.startswith(b"{") else self._sealer.open(key, value), revision)

    def _collection(self, prefix: str) -> Collection:
        collection = self._collections.get(prefix)
        if collection is None:
            collection = self._collections[prefix] = Collection(prefix, self._loaded)
        return collection

    def _wake(self) -> None:
        still = []
        for revision, waiter in self._waiters:
            if revision > self.revision:
                still.append((revision, waiter))
            elif not waiter.done():
                waiter.set_result(None)
        self._waiters = still

    async def caught_up(self) -> None:
        """Returns once every acknowledged write is visible here."""
        revision = self._store.revision
        if self.revision < revision:
            await self._reach(revision)

    async def _reach(self, revision: int) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append((revision, waiter))
        await waiter

    async def not_older_than(self, revision: int) -> None:
        """Wait a little for a revision that a client has heard of elsewhere; 504 if it does not come."""
        if self.revision >= revision:
            return
        try:
            async with asyncio.timeout(FUTURE_WAIT_SECONDS):
                await self._reach(revision)
        except TimeoutError:
            raise too_large_revision(revision, self.revision) from None

    async def _send_bookmarks(self) -> None:
        """One sleeper for all watchers: those who asked learn once a minute how far they are."""
        while True:
            await asyncio.sleep(BOOKMARK_SECONDS)
            for collection in tuple(self._collections.values()):
                for watcher in tuple(collection.watchers()):
                    watcher.bookmark(self.revision)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────

    def record(self, key: str) -> Record | None:
        """The newest version at a storage key."""
        return self._by_key.get(key)

    def collection(self, resource: Resource) -> Collection:
        """All objects of a resource."""
        return self._collection(prefix_of(resource))

    def get(self, group: str, resource: str, namespace: str, name: str) -> Object | None:
        """See Reader.get."""
        found = _stored(group, resource)
        record = self._by_key.get(key_of(found, namespace, name)) if found is not None else None
        return record.object if record is not None else None

    def list(self, group: str, resource: str, namespace: str = "") -> Iterable[Object]:
        """See Reader.list."""
        found = _stored(group, resource)
        if found is None:
            return []
        collection = self.collection(found)
        if not collection.records:
            return []
        prefix = f"{collection.prefix}{namespace}/" if namespace and found.namespaced else collection.prefix
        low, high = collection.span(prefix)
        return [record.object for record in collection.records[low:high]]

    def watch(self, resource: Resource, scope: str, view: View, *, bookmarks: bool = False) -> Watcher:
        """A watcher without selectors, as in-process followers need it."""
        watcher = Watcher(view, None, bookmarks=bookmarks)
        self.collection(resource).watch(scope, watcher)
        return watcher

    def end_watches(self) -> None:
        """Finish every stream: the server is draining, clients reconnect elsewhere."""
        for collection in self._collections.values():
            for watcher in tuple(collection.watchers()):
                watcher.end()

    @property
    def watcher_count(self) -> int:
        return sum(collection.watcher_count for collection in self._collections.values())


@functools.cache
def _stored(group: str, name: str) -> Resource | None:
    for resource in resources.builtin():
        if resource.group == group and resource.name == name and resource.preferred:
            return resource
    return None


def too_large_revision(wanted: int, current: int) -> errors.StatusError:
    """504: a revision that has not happened (here)."""
    text = f"Too large resource version: {wanted}, current: {current}"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return errors.failure(504, "Timeout", text, details={"causes": [cause], "retryAfterSeconds": 1})
