"""Which rows the file keeps: what is current, and what the history still tells."""

import sqlite3

import pytest

from tiphys.store.batch import Write, decide
from tiphys.store.database import Database
from tiphys.store.door import StoreError


@pytest.fixture
def database(tmp_path):
    made = Database(tmp_path / "db", writable=True)
    yield made
    made.close()


def write(database, *writes):
    """Each a commit of its own: (key, value or None to delete)."""
    for key, value in writes:
        current = database.entries([key])
        expected = current[key].revision if key in current else None
        decision = decide([Write(key, value, expected)], current, database.revision())
        database.commit(decision.events)


def rows(tmp_path):
    with sqlite3.connect(tmp_path / "db") as connection:
        return [row[0] for row in connection.execute("SELECT revision FROM history ORDER BY revision")]


def test_an_event_tells_what_was_there_before(database):
    write(database, ("a", b"1"), ("a", b"2"), ("a", None))
    told = [(event.value, event.previous and event.previous.value) for event in database.events("", 0, 3, -1)]
    assert told == [(b"1", None), (b"2", b"1"), (None, b"2")]


def test_compaction_keeps_what_is_current_and_drops_what_was_superseded(database, tmp_path):
    write(database, ("old", b"1"), ("a", b"1"), ("a", b"2"), ("gone", b"1"), ("gone", None), ("b", b"1"))
    assert not database.compact(5, 100)
    assert rows(tmp_path) == [1, 3, 6]
    assert [(entry.key, entry.value) for entry in database.scan("", "", -1)] == [
        ("a", b"2"),
        ("b", b"1"),
        ("old", b"1"),
    ]


def test_what_was_current_at_one_compaction_goes_with_a_later_one(database, tmp_path):
    write(database, ("a", b"1"), ("b", b"1"))
    database.compact(1, 100)
    write(database, ("a", b"2"), ("b", b"2"))
    database.compact(3, 100)
    assert rows(tmp_path) == [2, 3, 4]


def test_compaction_goes_in_steps(database, tmp_path):
    write(database, *(("a", b"%d" % number) for number in range(10)))
    steps = 1
    while database.compact(9, 2):
        steps += 1
    assert steps == 5 and rows(tmp_path) == [9, 10]


def test_the_newest_revision_survives_compaction(database):
    write(database, ("a", b"1"), ("a", None))
    database.compact(2, 100)
    assert database.revision() == 2


def test_a_file_of_another_making_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / "db") as connection:
        connection.execute("CREATE TABLE current (key TEXT)")
    with pytest.raises(StoreError, match="another version"):
        Database(tmp_path / "db", writable=True)


def test_a_commit_of_very_many_is_one(database):
    writes = [Write(f"/{number:05}", b"", None) for number in range(1_201)]
    again = [Write("/00007", None, 8), Write("/00007", b"new", None)]
    database.commit(decide([*writes, *again], {}, 0).events)
    assert database.revision() == 1_203
    assert [entry.revision for entry in database.scan("/0000", "", -1)] == [1, 2, 3, 4, 5, 6, 7, 1_203, 9, 10]
    assert not database._connection.in_transaction
