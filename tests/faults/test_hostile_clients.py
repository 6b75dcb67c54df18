"""Bad clients: slow, silent, greedy or many. They hurt themselves, and nobody else."""

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from hostile_builders import FAST_SECONDS, attacked_server, attacking, hear, request

MAPS = "/api/v1/namespaces/default/configmaps"
WATCH = f"{MAPS}?watch=1&resourceVersion=0&allowWatchBookmarks=true"


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    with attacked_server(tmp_path_factory.mktemp("attacked")) as server:
        yield server


@pytest.fixture
def attacker(attacked):
    with attacking(attacked) as attacker:
        yield attacker


@pytest.fixture
def many(attacker):
    """Opens connections that stay for the whole test: `many(100, b"GET ")`."""
    with ExitStack() as stack:

        def dial(count, data=b""):
            lines = [stack.enter_context(attacker.line()) for _ in range(count)]
            for line in lines:
                line.sendall(data)
            return lines

        yield dial


def write(attacker, name, size=100):
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": name}, "data": {"a": "x" * size}}
    heard = attacker.ask("POST", MAPS, body)
    assert heard.status == 201
    return heard


def test_clients_that_send_a_byte_at_a_time_hold_up_nobody(attacker, many):
    lines = many(100, b"GET / HT")
    for byte in b"TP/1.1":
        for line in lines:
            line.sendall(bytes([byte]))
        assert attacker.ask("GET", "/readyz").seconds < FAST_SECONDS


def test_a_flood_of_connections_holds_up_nobody(attacker, many):
    many(400)
    assert attacker.ask("GET", MAPS).seconds < FAST_SECONDS


def test_a_client_that_ended_its_side_still_gets_its_answer(attacker):
    with attacker.line() as line:
        line.sendall(request("GET", "/readyz", close=False))
        socket.socket.shutdown(line, socket.SHUT_WR)
        assert b"200 OK" in hear(line)


def test_clients_that_vanish_in_the_middle_are_forgotten(attacker, attacked):
    before = descriptors(attacked)
    for _ in range(50):
        with attacker.line() as line:
            line.sendall(request("POST", MAPS, b"{" * 1000)[:-500])
    wait_until(lambda: descriptors(attacked) <= before + 1)


def test_a_pipeline_is_answered_in_order(attacker):
    with attacker.line() as line:
        paths = [f"{MAPS}/none-{number}" for number in range(200)]
        asked = [request("GET", path, close=False) for path in paths[:-1]] + [request("GET", paths[-1])]
        line.sendall(b"".join(asked))
        answers = hear(line)
    names = [name.split(b'"')[0].decode() for name in answers.split(b'configmaps \\"')[1:]]
    assert [name.rstrip("\\") for name in names] == [f"none-{number}" for number in range(200)]


def test_watchers_that_never_read_slow_nobody_and_are_cut(attacker, many):
    attacker.growth_mb_max = 500  # 40 MB are stored, and kept for watchers that come late
    sleepers = many(10, request("GET", WATCH))
    with attacker.line() as line:
        line.sendall(request("GET", WATCH, close=False))
        reading = ThreadPoolExecutor(1).submit(read_until, line, b'"name":"last-')
        slowest = max(write(attacker, "big-", 900_000).seconds for _ in range(45))
        write(attacker, "last-")
        reading.result(20)
    assert slowest < FAST_SECONDS
    assert [b'"code":410' in hear(line)[-2000:] for line in sleepers[:2]] == [True, True]


def test_many_watches_of_much_hurt_nobody(attacker, many):
    attacker.growth_mb_max = 400
    many(100, request("GET", WATCH))  # each begins with 40 MB that nobody reads: the kernel takes some of them
    assert write(attacker, "more-").seconds < 5
    assert write(attacker, "more-").seconds < FAST_SECONDS


def test_many_watches_are_told_soon(attacker, many):
    start = attacker.ask("GET", MAPS + "?limit=1").body
    version = json.loads(start)["metadata"]["resourceVersion"]
    lines = many(200, request("GET", f"{MAPS}?watch=1&resourceVersion={version}"))
    heard = write(attacker, "told-")
    name = json.loads(heard.body)["metadata"]["name"].encode()
    started = time.perf_counter()
    for line in lines:
        read_until(line, b'"name":"' + name)
    assert time.perf_counter() - started < 3


def read_until(line, sign):
    heard = b""
    while sign not in heard:
        data = line.recv(1 << 20)
        assert data, heard[-300:]
        heard = heard[-300:] + data


def descriptors(server):
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def wait_until(ask, seconds=5):
    end = time.monotonic() + seconds
    while not ask():
        assert time.monotonic() < end
        time.sleep(0.02)
