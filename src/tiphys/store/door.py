"""
The Store door: revisioned keys with bytes.

One global revision counts every write. A key is a path such as `/registry/pods/default/web`. Values are opaque. All
implementations pass `tests/store/suite.py`; etcd fits behind the same door, so nothing here speaks of SQL.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


class StoreError(Exception):
    """
    StoreError
    ├── KeyExists        create of a key that is there
    ├── Conflict         update or delete of a key at another revision, or of one that is gone
    ├── Compacted        a list or watch asks for a revision whose history is gone
    ├── FutureRevision   a list or watch asks for a revision that has not happened
    ├── Unavailable      the medium refuses writes (disk full, I/O error); reads go on, writes may recover
    └── Damaged          the database is damaged; nothing is served from it
    """


class KeyExists(StoreError): ...


class Conflict(StoreError):
    """`current` is what the key holds now; None if it is gone."""

    def __init__(self, message: str, current: Entry | None) -> None:
        super().__init__(message)
        self.current = current


class Compacted(StoreError): ...


class FutureRevision(StoreError): ...


class Unavailable(StoreError): ...


class Damaged(StoreError): ...


@dataclass(frozen=True, slots=True)
class Entry:
    """A key with its value at the revision that wrote it."""

    key: str
    value: bytes
    revision: int


@dataclass(frozen=True, slots=True)
class Page:
    """Entries in key order, as of `revision`; `more` says that entries follow the last one."""

    entries: Sequence[Entry]
    revision: int
    more: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """One change: `value` is None for a delete; `previous` is the entry before it, None for a create."""

    key: str
    revision: int
    value: bytes | None
    previous: Entry | None


Listener = Callable[[Sequence[Event]], None]


class Store(Protocol):
    async def get(self, key: str) -> Entry | None: ...

    async def list(self, prefix: str, *, revision: int = 0, limit: int = 0, after: str = "") -> Page:
        """Entries under `prefix` as of `revision` (0: now), at most `limit` (0: all), keys greater than `after`."""

    async def create(self, key: str, value: bytes) -> int:
        """Returns the new revision once it is durable. KeyExists if the key is there."""

    async def update(self, key: str, value: bytes, revision: int) -> int:
        """Replace the value written at `revision`. Returns the new revision once durable; Conflict otherwise."""

    async def delete(self, key: str, revision: int) -> int:
        """Remove the value written at `revision`. Returns the new revision once durable; Conflict otherwise."""

    def watch(self, prefix: str, revision: int) -> AsyncIterator[Sequence[Event]]:
        """Batches of events under `prefix` after `revision`, in revision order, none lost, none twice."""

    def listen(self, listener: Listener) -> Callable[[], None]:
        """
        Call `listener` with the events of each later commit before any writer of it is told; the result ends that.

        It must neither wait nor raise. What was committed before, or by another process, comes by `watch` alone.
        """

    async def compact(self, revision: int) -> None:
        """Forget history at and before `revision`; current values stay."""

    @property
    def revision(self) -> int:
        """The newest revision that is durable and visible here."""

    async def close(self) -> None: ...
