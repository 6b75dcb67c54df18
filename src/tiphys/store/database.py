"""
The SQLite file: tables, statements and their errors. Synchronous; each thread opens its own connection.

`history` has each version of each object once, in the order of revisions; `current` says which version of a key is now.
So a write adds one value at the end of one table and changes a small row of the other. A version goes when the event
that superseded it is compacted, a deletion when it is compacted itself; what is current always stays. WAL with
`synchronous=FULL`: a commit that returned is on disk.

Rejected: the present values in `current` as well. Each write then changed a page in the middle of a large tree, and
cost twice the time and the bytes.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tiphys.store.door import Damaged, Entry, Event, StoreError, Unavailable
from tiphys.store.history import prefix_end

SCHEMA = """
CREATE TABLE IF NOT EXISTS current (key TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS history (
    revision INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB, previous INTEGER);
CREATE TABLE IF NOT EXISTS mark (name TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID;
"""
# Belongs to the writer's connection alone, so that the file has no rule that another program would have to know.
FOLLOW = """
CREATE TEMP TRIGGER follow AFTER INSERT ON main.history BEGIN
    DELETE FROM current WHERE key = NEW.key AND NEW.value IS NULL;
    INSERT OR REPLACE INTO current SELECT NEW.key, NEW.revision WHERE NEW.value IS NOT NULL;
END;
"""
# Says of a file that its tables are these; a file of another making is refused.
FORMAT = 2
# The log is brought into the file after so many pages: pages that change often are then written once for many commits.
CHECKPOINT_PAGES = 4_000
# Pages of the writer's that stay in memory.
CACHE_KIBIBYTES = 8_000
# Rows of one multi-row statement: SQLite takes 32,766 parameters, 4 a row.
ROWS_MAX = 500
BUSY_SECONDS = 5.0
_PRESENT = "SELECT c.key, h.value, c.revision FROM current c CROSS JOIN history h ON h.revision = c.revision"


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
                self._connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
                self._connection.execute(f"PRAGMA cache_size=-{CACHE_KIBIBYTES}")
                self._check()
                self._connection.executescript(SCHEMA + FOLLOW)
                self._connection.execute(f"PRAGMA user_version={FORMAT}")
            else:
                self._connection.execute("PRAGMA query_only=ON")

    def _check(self) -> None:
        answer = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if answer != "ok":
            raise Damaged(f"the database {self._path} is damaged ({answer}): restore it from a backup")
        made = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if made and self._connection.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
            raise StoreError(f"the database {self._path} was made by another version of this program: use that one")

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

    def mark(self, name: str) -> int:
        """`compacted`: the history up to there is refused. `trimmed`: its rows have gone, too."""
        row = self._connection.execute("SELECT revision FROM mark WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def _set_mark(self, name: str, revision: int) -> None:
        self._connection.execute(
            "INSERT INTO mark VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET revision = max(revision, ?2)",
            (name, revision),
        )

    def entries(self, keys: Sequence[str]) -> dict[str, Entry]:
        """What is current at these keys."""
        found: dict[str, Entry] = {}
        for start in range(0, len(keys), ROWS_MAX):
            part = keys[start : start + ROWS_MAX]
            marks = ",".join("?" * len(part))
            rows = self._connection.execute(f"{_PRESENT} WHERE c.key IN ({marks})", part)
            found.update((row[0], Entry(*row)) for row in rows)
        return found

    def scan(self, prefix: str, after: str, limit: int) -> list[Entry]:
        """Entries under `prefix` with keys greater than `after`; `limit` -1 is all."""
        rows = self._connection.execute(
            f"{_PRESENT} WHERE c.key >= ? AND c.key < ? AND c.key > ? ORDER BY c.key LIMIT ?",
            (prefix, prefix_end(prefix), after, limit),
        )
        return [Entry(*row) for row in rows]

    def events(self, prefix: str, after: int, up_to: int, limit: int) -> list[Event]:
        """Events in revision order; `limit` -1 is all."""
        rows = self._connection.execute(
            "SELECT h.revision, h.key, h.value, h.previous, p.value FROM history h"
            " LEFT JOIN history p ON p.revision = h.previous"
            " WHERE h.revision > ? AND h.revision <= ? AND h.key >= ? AND h.key < ? ORDER BY h.revision LIMIT ?",
            (after, up_to, prefix, prefix_end(prefix), limit),
        )
        return [_event(row) for row in rows]

    # writes

    def commit(self, events: Sequence[Event]) -> None:
        """
        Bring events in, all of them or none; they are on disk when this returns.

        One statement is a transaction of its own, and `current` follows by a trigger: each further statement would
        give the interpreter to the loop and wait to get it back.
        """
        with self.errors() if len(events) <= ROWS_MAX else self.transaction("IMMEDIATE"):
            for start in range(0, len(events), ROWS_MAX):
                part = events[start : start + ROWS_MAX]
                values: list[object] = []
                for event in part:
                    previous = event.previous.revision if event.previous is not None else None
                    values += (event.revision, event.key, event.value, previous)
                self._connection.execute(f"INSERT INTO history VALUES {','.join(['(?,?,?,?)'] * len(part))}", values)

    def compact(self, revision: int, rows_max: int) -> bool:
        """Forget up to `rows_max` of the oldest events at or before `revision`; True if more wait."""
        with self.transaction("IMMEDIATE"):
            newest = self.revision()
            self._set_mark("compacted", min(revision, newest))
            trimmed, last = self.mark("trimmed"), min(revision, newest - 1)
            found = self._connection.execute(
                "SELECT revision FROM history WHERE revision > ? AND revision <= ? ORDER BY revision LIMIT ?",
                (trimmed, last, rows_max),
            ).fetchall()
            more = len(found) == rows_max
            span = (trimmed, found[-1][0] if more else last)
            self._connection.execute(
                "DELETE FROM history WHERE revision IN"
                " (SELECT previous FROM history WHERE revision > ? AND revision <= ? AND previous IS NOT NULL)",
                span,
            )
            self._connection.execute("DELETE FROM history WHERE revision > ? AND revision <= ? AND value IS NULL", span)
            self._set_mark("trimmed", span[1])
        with self.errors():
            self._connection.execute("PRAGMA incremental_vacuum(200)").fetchall()
        return more
