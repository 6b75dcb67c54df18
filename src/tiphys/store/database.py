"""
The SQLite file: tables, statements and their errors. Synchronous; each thread opens its own connection.

`current` holds what is, `history` what happened lately; they are apart so that a read of now never passes over the
past, and compaction deletes from one end of one table. WAL with `synchronous=FULL`: a commit that returned is on disk.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tiphys.store.door import Damaged, Entry, Event, StoreError, Unavailable
from tiphys.store.history import prefix_end

SCHEMA = """
CREATE TABLE IF NOT EXISTS current (key TEXT PRIMARY KEY, revision INTEGER NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS history (
    revision INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB, previous_revision INTEGER, previous_value BLOB);
CREATE TABLE IF NOT EXISTS mark (name TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID;
"""
# Rows of one multi-row statement: SQLite takes 32,766 parameters, 5 a row.
ROWS_MAX = 500
BUSY_SECONDS = 5.0


def _event(row: tuple[int, str, bytes | None, int | None, bytes | None]) -> Event:
    revision, key, value, previous_revision, previous_value = row
    if previous_revision is None or previous_value is None:
        return Event(key, revision, value, None)
    return Event(key, revision, value, Entry(key, previous_value, previous_revision))


class Lock:
    """One process owns a database file: two writers would both hand out the next revision."""

    def __init__(self, path: Path) -> None:
        self._file: IO[str] = path.with_name(path.name + ".lock").open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise StoreError(f"the database {path} is in use by another process: stop that one first") from None

    def release(self) -> None:
        self._file.close()


class Database:
    """One connection. The writer's is opened with `writable=True` and makes the tables."""

    def __init__(self, path: Path, *, writable: bool) -> None:
        self._path = path
        with self.errors():
            self._connection = sqlite3.connect(
                path, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False
            )
            if writable:
                self._connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
                self._connection.execute("PRAGMA journal_mode=WAL")
                self._connection.execute("PRAGMA synchronous=FULL")
                self._check()
                self._connection.executescript(SCHEMA)
            else:
                self._connection.execute("PRAGMA query_only=ON")

    def _check(self) -> None:
        answer = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if answer != "ok":
            raise Damaged(f"the database {self._path} is damaged ({answer}): restore it from a backup")

    @contextmanager
    def errors(self) -> Iterator[None]:
        """SQLite's errors as ours: a full or failing disk may recover, damage does not."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise Unavailable(f"the database {self._path} cannot be written or read: {error}") from error
        except sqlite3.DatabaseError as error:
            raise Damaged(f"the database {self._path} is damaged ({error}): restore it from a backup") from error

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def transaction(self, kind: str = "DEFERRED") -> Iterator[None]:
        with self.errors():
            self._connection.execute(f"BEGIN {kind}")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    # reads

    def revision(self) -> int:
        """The newest revision: compaction always leaves the newest row of the history."""
        return int(self._connection.execute("SELECT coalesce(max(revision), 0) FROM history").fetchone()[0])

    def compacted(self) -> int:
        row = self._connection.execute("SELECT revision FROM mark WHERE name = 'compacted'").fetchone()
        return int(row[0]) if row else 0

    def entries(self, keys: Sequence[str]) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for start in range(0, len(keys), ROWS_MAX):
            part = keys[start : start + ROWS_MAX]
            marks = ",".join("?" * len(part))
            rows = self._connection.execute(f"SELECT key, value, revision FROM current WHERE key IN ({marks})", part)
            found.update((row[0], Entry(*row)) for row in rows)
        return found

    def scan(self, prefix: str, after: str, limit: int) -> list[Entry]:
        """Entries under `prefix` with keys greater than `after`; `limit` -1 is all."""
        rows = self._connection.execute(
            "SELECT key, value, revision FROM current WHERE key >= ? AND key < ? AND key > ? ORDER BY key LIMIT ?",
            (prefix, prefix_end(prefix), after, limit),
        )
        return [Entry(*row) for row in rows]

    def events(self, prefix: str, after: int, up_to: int, limit: int) -> list[Event]:
        """Events in revision order; `limit` -1 is all."""
        rows = self._connection.execute(
            "SELECT revision, key, value, previous_revision, previous_value FROM history"
            " WHERE revision > ? AND revision <= ? AND key >= ? AND key < ? ORDER BY revision LIMIT ?",
            (after, up_to, prefix, prefix_end(prefix), limit),
        )
        return [_event(row) for row in rows]

    # writes, inside a transaction

    def append(self, events: Sequence[Event]) -> None:
        for start in range(0, len(events), ROWS_MAX):
            part = events[start : start + ROWS_MAX]
            values: list[object] = []
            for event in part:
                previous = event.previous
                values += (event.revision, event.key, event.value)
                values += (previous.revision, previous.value) if previous else (None, None)
            self._connection.execute(f"INSERT INTO history VALUES {','.join(['(?,?,?,?,?)'] * len(part))}", values)

    def put(self, final: Mapping[str, Entry | None]) -> None:
        kept = [entry for entry in final.values() if entry is not None]
        gone = [key for key, entry in final.items() if entry is None]
        for start in range(0, len(kept), ROWS_MAX):
            part = kept[start : start + ROWS_MAX]
            values = [field for entry in part for field in (entry.key, entry.revision, entry.value)]
            self._connection.execute(
                f"INSERT OR REPLACE INTO current VALUES {','.join(['(?,?,?)'] * len(part))}", values
            )
        for start in range(0, len(gone), ROWS_MAX):
            keys = gone[start : start + ROWS_MAX]
            self._connection.execute(f"DELETE FROM current WHERE key IN ({','.join('?' * len(keys))})", keys)

    def compact(self, revision: int, rows_max: int) -> bool:
        """Delete up to `rows_max` of the oldest events at or before `revision`; True if more wait."""
        with self.transaction("IMMEDIATE"):
            newest = self.revision()
            self._connection.execute(
                "INSERT INTO mark VALUES ('compacted', ?1)"
                " ON CONFLICT (name) DO UPDATE SET revision = max(revision, excluded.revision)",
                (min(revision, newest),),
            )
            deleted = self._connection.execute(
                "DELETE FROM history WHERE revision IN"
                " (SELECT revision FROM history WHERE revision <= ? ORDER BY revision LIMIT ?)",
                (min(revision, newest - 1), rows_max),
            ).rowcount
        with self.errors():
            self._connection.execute("PRAGMA incremental_vacuum(200)").fetchall()
        return deleted == rows_max
