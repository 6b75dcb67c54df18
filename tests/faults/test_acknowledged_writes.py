"""What a client was told is so: after kill -9 under load, on a full disk, and never from a torn database."""

import random
import socket
import subprocess
import time

import pytest

from cluster_builders import eventually
from durable_builders import MAPS, Writer, config_map, lost

WRITERS = 6
SEED = 20_260_101


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rounds", [5, pytest.param(100, marks=pytest.mark.slow)])
def test_no_acknowledged_write_is_lost_when_the_server_is_killed(server, rounds):
    chance, writers = random.Random(SEED), []
    for turn in range(rounds):
        assert server.start(), server.log.read_text()
        check_all_are_there(server, writers)
        fresh = [Writer(server, f"r{turn}-w{number}") for number in range(WRITERS)]
        for writer in fresh:
            writer.start()
        time.sleep(chance.uniform(0.05, 1.0))
        server.kill()
        for writer in fresh:
            writer.join()
        writers += fresh
    assert server.start() and sum(len(writer.told) for writer in writers) > 100 * rounds
    check_all_are_there(server, writers)


def check_all_are_there(server, writers):
    values, revision = server.values()
    assert lost(writers, values) == {}
    assert all(writer.revision <= revision for writer in writers)
    named = set().union(*(writer.told for writer in writers), {w.doubtful[0] for w in writers if w.doubtful})
    assert values.keys() <= named


def test_a_torn_database_is_named_and_nothing_of_it_is_served(server):
    assert server.start()
    for number in range(300):
        assert server.ask("POST", MAPS, config_map(f"m{number}", "x" * 500))[0] == 201
    server.stop()
    path, noise = server.data / "state.db", random.Random(SEED)
    with path.open("r+b") as file:
        for offset in range(4096 * 4, path.stat().st_size - 4096, 4096 * 3):
            file.seek(offset)
            file.write(noise.randbytes(1024))
    server.log.write_text("")
    assert not server.start() and server.process.wait(timeout=20) == 1
    said = server.log.read_text()
    assert str(path) in said and "damaged" in said and "Traceback" not in said
    with pytest.raises(OSError), socket.create_connection(server.address, timeout=1):
        pass


@pytest.fixture
def small_disk(host_lock, server):
    """The server's data directory is a disk of 24 MB; gives how to fill it and how to make room."""
    server.data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", server.data], check=True)
    filler = server.data / "filler"

    def fill():
        with filler.open("wb", buffering=0) as file:
            for size in (65536, 4096, 512):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue  # full, for this size

    yield fill, filler.unlink
    server.stop()
    subprocess.run(["umount", server.data], check=True)


def fill_until_refused(server, fill):
    """The first refusal; until then there was room left inside of the files."""
    for number in range(2000):
        fill()
        status, answer = server.ask("POST", MAPS, config_map(f"big{number}", "x" * 50_000))
        if status != 201:
            return status, answer
    raise AssertionError("a full disk takes every write")


@pytest.mark.host
def test_a_full_disk_refuses_writes_serves_reads_and_recovers(server, small_disk):
    fill, make_room = small_disk
    assert server.start(), server.log.read_text()
    assert server.ask("POST", MAPS, config_map("before", "1"))[0] == 201
    status, refusal = fill_until_refused(server, fill)
    assert (status // 100, refusal["kind"], refusal["status"]) == (5, "Status", "Failure")
    assert "disk" in refusal["message"], refusal
    for path in (f"{MAPS}/before", MAPS, "/livez"):
        assert server.ask_status(path) == 200, path
    make_room()
    eventually(lambda: server.ask("POST", MAPS, config_map("after", "1"))[0] == 201, "writes again", 10)
    server.kill()
    assert server.start() and {"before", "after"} <= server.values()[0].keys()


@pytest.mark.host
def test_what_was_refused_on_a_full_disk_is_not_there(server, small_disk):
    fill, make_room = small_disk
    assert server.start(), server.log.read_text()
    _, refusal = fill_until_refused(server, fill)
    before, revision = server.values()
    for number in range(20):
        assert server.ask("POST", MAPS, config_map(f"refused{number}", "x" * 50_000))[0] // 100 == 5, refusal
    assert server.values() == (before, revision)
    make_room()
    server.kill()
    assert server.start() and server.values()[0] == before
