"""Counting what comes to Services: the rules' text, real packets, and that nothing is left when nobody asks."""

import asyncio
import socket
import threading

import pytest

from service_builders import service
from tiphys.network.nftables import engine
from tiphys.proxy import counting
from tiphys.proxy.counters import CONNECTIONS, REQUESTS, counts, places_of, table
from tiphys.proxy.counting import Counting

TABLE = "tiphystest-counting"
WEB = ("shop", "web")


def test_a_service_is_counted_at_each_of_its_addresses():
    obj = service("web", {"port": 80, "nodePort": 30080}, externalIPs=["192.0.2.7"])
    assert places_of(obj, CONNECTIONS) == [
        ("connections", "10.92.0.10 . tcp . 80"),
        ("connections", "192.0.2.7 . tcp . 80"),
        ("port-connections", "tcp . 30080"),
    ]


def test_without_an_address_nothing_is_counted():
    assert places_of(service(clusterIP="None"), REQUESTS) == []


def test_only_what_is_asked_for_meets_packets():
    text = table("t", places_of(service(), CONNECTIONS))
    assert "psh" not in text and "add element ip t connections { 10.92.0.10 . tcp . 80 }" in text


def test_counts_are_read_from_a_listing():
    one, other = "10.92.0.10 . tcp . 80 counter packets 5", "10.92.0.11 . udp . 53 counter packets 0"
    listed = f"elements = {{ {one} bytes 9,\n {other} bytes 0 }}"
    assert counts(listed) == {"10.92.0.10 . tcp . 80": 5, "10.92.0.11 . udp . 53": 0}


class Kernel:
    """nftables as far as counting needs it: `packets` of each element, zero again when the table is written."""

    def __init__(self):
        self.packets, self.written = {}, []

    def run(self, text):
        if not text.startswith("list"):
            self.written.append(text)
            self.packets = dict.fromkeys(self.packets, 0)
            return ""
        listed = [f"{element} counter packets {count} bytes 0" for element, count in self.packets.items()]
        return f"elements = {{ {', '.join(listed)} }}"

    def close(self):
        self.written.append("closed")


class Clock:
    at = 100.0

    def __call__(self):
        return self.at


@pytest.fixture
def kernel(monkeypatch):
    monkeypatch.setattr(counting, "FIRST_SECONDS", 0.0)
    return Kernel()


def counted(kernel, *services):
    known = {(obj["metadata"]["namespace"], obj["metadata"]["name"]): obj for obj in services}
    clock = Clock()
    made = Counting(TABLE, lambda *owner: known.get(owner), open_engine=lambda: kernel, now=clock)
    return made, clock, known


async def test_a_change_of_the_table_loses_no_count(kernel):
    other = service("other", clusterIP="10.92.0.11")
    made, clock, known = counted(kernel, service(), other)
    key, (owner, another) = "10.92.0.10 . tcp . 80", known
    kernel.packets = {key: 0}
    await made.arrivals(CONNECTIONS, [owner])
    clock.at, kernel.packets = 102.0, {key: 30}
    await made.arrivals(CONNECTIONS, [another])
    clock.at, kernel.packets = 104.0, {key: 10}
    rate = (await made.arrivals(CONNECTIONS, [owner]))[owner]
    assert (rate.per_second, rate.window_seconds) == (10.0, 4.0)


async def test_a_counter_that_somebody_reset_counts_from_zero(kernel):
    made, clock, known = counted(kernel, service())
    (owner,), key = known, "10.92.0.10 . tcp . 80"
    kernel.packets = {key: 50}
    await made.arrivals(CONNECTIONS, [owner])
    clock.at, kernel.packets = 101.0, {key: 7}
    assert (await made.arrivals(CONNECTIONS, [owner]))[owner].per_second == 7.0


async def test_requests_that_come_another_way_count_too(kernel):
    made, clock, known = counted(kernel, service())
    (owner,), totals = known, {WEB: 1000, ("shop", "unasked"): 5}

    async def elsewhere():
        return totals

    made._elsewhere = elsewhere
    await made.arrivals(REQUESTS, [owner])
    clock.at, totals[WEB] = 102.0, 1030
    assert (await made.arrivals(REQUESTS, [owner]))[owner].per_second == 15.0
    clock.at, totals[WEB] = 104.0, 10
    assert (await made.arrivals(REQUESTS, [owner]))[owner].per_second == 10.0


async def test_an_unknown_service_is_missing_and_costs_nothing(kernel):
    made, _, _ = counted(kernel)
    assert await made.arrivals(REQUESTS, [WEB]) == {} and kernel.written == []


async def test_nothing_is_left_when_nobody_asks(kernel, monkeypatch):
    monkeypatch.setattr(counting, "IDLE_SECONDS", 0.0)
    made, clock, known = counted(kernel, service())
    running = asyncio.create_task(made.run())
    await made.arrivals(CONNECTIONS, list(known))
    clock.at += 1
    await asyncio.sleep(0.01)
    assert kernel.written[-1].endswith(f"delete table ip {TABLE}")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert kernel.written[-1] == "closed"


class Echo:
    """Answers each message that ends with a dot by one byte."""

    def __init__(self, address):
        self.listener = socket.create_server(address)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=[connection], daemon=True).start()

    def answer(self, connection):
        with connection:
            while said := connection.recv(1 << 20):
                if said.endswith(b"."):
                    connection.send(b"y")


def converse(address, turns, said):
    with socket.create_connection(address) as client:
        for _ in range(turns):
            client.sendall(said)
            client.recv(1)


async def test_requests_are_turns_on_however_few_connections(own_network):
    nft = engine()
    here = service("web", {"port": 8099}, clusterIP="127.0.0.1")
    echo = Echo(("127.0.0.1", 8099))
    try:
        # Translation is what makes the kernel follow connections, as in every cluster.
        nft.run("add table ip x\nadd chain ip x o { type nat hook output priority -100; }\nadd rule ip x o accept")
        nft.run(table(TABLE, [*places_of(here, CONNECTIONS), *places_of(here, REQUESTS)]))
        for said in (b"x.", b"x" * 100_000 + b"."):
            await asyncio.to_thread(converse, ("127.0.0.1", 8099), 10, said)
        seen = {kind: counts(nft.run(f"list set ip {TABLE} {kind}")) for kind in (CONNECTIONS, REQUESTS)}
    finally:
        echo.listener.close()
        nft.close()
    assert seen[CONNECTIONS] == {"127.0.0.1 . tcp . 8099": 2}
    assert seen[REQUESTS] == {"127.0.0.1 . tcp . 8099": 20}
