"""The SQLite store keeps the contract, survives kill -9, a full disk and damage."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from store.suite import StoreContract
from tiphys.store.door import Damaged, StoreError, Unavailable
from tiphys.store.sqlite import SqliteStore


@pytest.fixture
async def make_store(tmp_path):
    opened = []

    async def make(**options):
        opened.append(await SqliteStore.open(tmp_path / "state.db", **options))
        return opened[-1]

    yield make
    for store in opened:
        await store.close()


@pytest.fixture
async def store(make_store):
    return await make_store()


class TestSqliteStore(StoreContract):
    pass


async def test_a_reopened_store_goes_on_where_it_was(make_store):
    store = await make_store()
    await store.create("/a", b"1")
    await store.close()
    again = await make_store()
    assert (await again.get("/a")).value == b"1"
    assert await again.create("/b", b"") == 2


async def test_compaction_survives_a_restart(make_store):
    store = await make_store()
    for number in range(5):
        await store.create(f"/{number}", b"")
    await store.compact(3)
    await store.close()
    again = await make_store()
    with pytest.raises(StoreError, match="compacted"):
        await again.list("/", revision=2)


async def test_a_second_process_is_refused(make_store, tmp_path):
    await make_store()
    with pytest.raises(StoreError, match="in use by another process"):
        await SqliteStore.open(tmp_path / "state.db")


async def test_a_damaged_file_is_named_and_not_served(tmp_path):
    path = tmp_path / "state.db"
    path.write_bytes(b"this is no database" * 500)
    with pytest.raises(Damaged, match=r"state\.db"):
        await SqliteStore.open(path)


async def test_a_torn_page_is_found_at_start(make_store, tmp_path):
    store = await make_store()
    for number in range(300):
        await store.create(f"/{number}", b"x" * 200)
    await store.close()
    path = tmp_path / "state.db"
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 12] = os.urandom(4096 * 9)
    path.write_bytes(content)
    with pytest.raises(Damaged):
        await SqliteStore.open(path)


async def test_a_full_disk_refuses_writes_and_recovers(store):
    await store.create("/before", b"")
    pages = store._writer._connection.execute("PRAGMA page_count").fetchone()[0]
    store._writer._connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(Unavailable, match="full"):
        await store.create("/big", b"x" * 1_000_000)
    assert (await store.get("/before")).value == b"" and store.revision == 1
    store._writer._connection.execute("PRAGMA max_page_count=1000000")
    assert await store.create("/big", b"x" * 1_000_000) == 2


async def test_writers_that_wait_together_are_committed_together(store):
    commits = []
    trace = store._writer._connection.set_trace_callback
    trace(lambda text: commits.append(text) if text.startswith("INSERT INTO history") else None)
    await asyncio.gather(*(store.create(f"/{number}", b"") for number in range(100)))
    assert len(set(commits)) == 1


async def test_a_cancelled_writer_does_not_stop_the_others(store):
    cancelled = asyncio.ensure_future(store.create("/a", b""))
    await asyncio.sleep(0)
    cancelled.cancel()
    assert await store.create("/b", b"") == 2


WRITER = """
import asyncio, sys
from pathlib import Path
from tiphys.store.sqlite import SqliteStore

async def client(store, name):
    for number in range(100_000):
        key = f"/{name}/{number:06}"
        await store.create(key, key.encode())
        print(key, flush=True)

async def main():
    store = await SqliteStore.open(Path(sys.argv[1]))
    await asyncio.gather(*(client(store, f"{sys.argv[2]}{n}") for n in range(8)))

asyncio.run(main())
"""


async def test_what_was_acknowledged_survives_kill_nine(tmp_path):
    acknowledged = set()
    for round_number in range(5):
        arguments = [sys.executable, "-c", WRITER, str(tmp_path / "state.db"), f"r{round_number}-"]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as writer:
            for _ in range(150 + 37 * round_number):
                acknowledged.add(writer.stdout.readline().strip())
            writer.send_signal(signal.SIGKILL)
            acknowledged |= {line.strip() for line in writer.stdout if line.endswith("\n")}
    store = await SqliteStore.open(tmp_path / "state.db")
    kept = {entry.key for entry in (await store.list("/")).entries}
    await store.close()
    assert acknowledged - kept == set()
    assert sqlite3.connect(tmp_path / "state.db").execute("PRAGMA integrity_check").fetchone() == ("ok",)
