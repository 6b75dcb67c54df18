"""The Store in memory: for tests, for people who test operators, and as the plainest statement of the contract."""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence

from tiphys.store.door import Compacted, Conflict, Entry, Event, FutureRevision, KeyExists, Listener, Page
from tiphys.store.feed import Feed
from tiphys.store.history import prefix_end, rewind

HISTORY_MAX = 20_000


class MemoryStore:
    """Implements the Store door. Nothing here waits, so every call is atomic on the loop."""

    def __init__(self, history_max: int = HISTORY_MAX) -> None:
        self._entries: dict[str, Entry] = {}
        self._keys: list[str] = []
        self._history: deque[Event] = deque()
        self._history_max = history_max
        self._compacted = 0
        self._feed = Feed(self._read_history)

    @property
    def revision(self) -> int:
        return self._feed.revision

    async def get(self, key: str) -> Entry | None:
        return self._entries.get(key)

    async def list(self, prefix: str, *, revision: int = 0, limit: int = 0, after: str = "") -> Page:
        entries = [self._entries[key] for key in self._range(prefix, after if revision == 0 else "")]
        at = revision or self.revision
        if revision:
            self._check(revision)
            newer = [event for event in reversed(self._history) if event.revision > revision]
            entries = [e for e in rewind(entries, (n for n in newer if n.key.startswith(prefix))) if e.key > after]
        more = bool(limit) and len(entries) > limit
        return Page(entries[:limit] if limit else entries, at, more)

    def _range(self, prefix: str, after: str) -> Sequence[str]:
        start = max(bisect.bisect_left(self._keys, prefix), bisect.bisect_right(self._keys, after))
        return self._keys[start : bisect.bisect_left(self._keys, prefix_end(prefix))]

    def _check(self, revision: int) -> None:
        if revision > self.revision:
            raise FutureRevision(f"revision {revision} has not happened yet, the newest is {self.revision}")
        if revision < self._compacted:
            raise Compacted(f"revision {revision} has been compacted, the oldest is {self._compacted}")

    async def create(self, key: str, value: bytes) -> int:
        if key in self._entries:
            raise KeyExists(key)
        return self._commit(key, value, None)

    async def update(self, key: str, value: bytes, revision: int) -> int:
        return self._commit(key, value, self._current(key, revision))

    async def delete(self, key: str, revision: int) -> int:
        return self._commit(key, None, self._current(key, revision))

    def _current(self, key: str, revision: int) -> Entry:
        current = self._entries.get(key)
        if current is None or current.revision != revision:
            raise Conflict(f"{key} is not at revision {revision}", current)
        return current

    def _commit(self, key: str, value: bytes | None, previous: Entry | None) -> int:
        revision = self.revision + 1
        if value is None:
            del self._entries[key]
            del self._keys[bisect.bisect_left(self._keys, key)]
        else:
            if previous is None:
                bisect.insort(self._keys, key)
            self._entries[key] = Entry(key, value, revision)
        event = Event(key, revision, value, previous)
        self._history.append(event)
        if len(self._history) > self._history_max:
            self._compacted = self._history.popleft().revision
        self._feed.publish((event,))
        return revision

    def watch(self, prefix: str, revision: int) -> AsyncIterator[Sequence[Event]]:
        return self._feed.watch(prefix, revision)

    def listen(self, listener: Listener) -> Callable[[], None]:
        return self._feed.listen(listener)

    async def _read_history(self, prefix: str, after: int, up_to: int, limit: int) -> Sequence[Event]:
        self._check(after)
        found = [e for e in self._history if after < e.revision <= up_to and e.key.startswith(prefix)]
        return found[:limit]

    async def compact(self, revision: int) -> None:
        self._check(min(revision, self.revision))
        while self._history and self._history[0].revision <= revision:
            self._history.popleft()
        self._compacted = max(self._compacted, min(revision, self.revision))

    async def close(self) -> None:
        """Nothing to free."""
