"""The server over real sockets."""

import asyncio
import socket
import time

import pytest

from dns_builders import address, query, response
from service_builders import StillInformer, endpoints, service
from tiphys.dns import follow, listeners, message
from tiphys.dns.message import A
from tiphys.dns.server import DnsServer
from tiphys.dns.settings import DnsSettings

WEB = "web.shop.svc.cluster.local"
QUERY = query(WEB)
# A third of what it should reach, since the machine is shared with other tests.
RATE_FLOOR = 10_000


class Running:
    def __init__(self, server, informers, asked):
        self.server, self.informers, self.asked = server, informers, asked
        self.address = server.addresses[0]

    async def udp(self, data, timeout_seconds=5.0):
        return await asyncio.to_thread(self.udp_at_once, data, timeout_seconds)

    def udp_at_once(self, data, timeout_seconds):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(timeout_seconds)
            client.sendto(data, self.address)
            return client.recv(4096)

    async def tcp(self, *messages):
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            writer.write(b"".join(len(data).to_bytes(2, "big") + data for data in messages))
            return [await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big")) for _ in messages]
        finally:
            writer.close()


def _sockets_of_one_port():
    """Both kinds of sockets on one port of loopback that is free for both."""
    while True:
        connections = socket.create_server(("127.0.0.1", 0))
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            datagrams.bind(connections.getsockname())
        except OSError:  # somebody else's datagrams
            connections.close()
            datagrams.close()
            continue
        return datagrams, connections


@pytest.fixture
async def upstream():
    """A UDP server that knows example.com; `asked` counts."""

    class Knows(asyncio.DatagramProtocol):
        asked = 0

        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, peer):
            Knows.asked += 1
            answer = response(data, address("example.com", "1.2.3.4"))
            self.transport.sendto(response(data, flags=0x0200) if b"large" in data else answer, peer)

    async def whole(reader, writer):
        data = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        answer = response(data, *[address("large.com", f"1.2.3.{number}") for number in range(50)])
        writer.write(len(answer).to_bytes(2, "big") + answer)
        writer.close()

    loop = asyncio.get_running_loop()
    datagrams, connections = _sockets_of_one_port()
    transport, knows = await loop.create_datagram_endpoint(Knows, sock=datagrams)
    knows.address = transport.get_extra_info("sockname")
    server = await asyncio.start_server(whole, sock=connections)
    yield knows
    transport.close()
    server.close()


@pytest.fixture
async def dns(upstream):
    informers = {key: StillInformer() for key in (follow.SERVICES, follow.ENDPOINT_SLICES, follow.NAMESPACES)}
    settings = DnsSettings(listen=(("127.0.0.1", 0),), upstream=(upstream.address,))
    server = DnsServer(None, settings, informer_of=informers.__getitem__)
    task = asyncio.create_task(server.run())
    await server.listening.wait()
    await server.synced.wait()
    running = Running(server, informers, upstream)
    informers[follow.SERVICES].put(service())
    await asyncio.sleep(0.01)
    yield running
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def data_of(answer):
    return [record.data for record in message.records_of(answer)]


async def test_answers_over_udp_and_tcp(dns):
    assert data_of(await dns.udp(query(WEB))) == [b"\x0a\x5c\0\x0a"]
    assert [data_of(answer) for answer in await dns.tcp(query(WEB), query(WEB))] == [[b"\x0a\x5c\0\x0a"]] * 2


async def test_a_kept_answer_has_the_id_of_its_query(dns):
    answers = [await dns.udp(query(WEB, identifier=identifier)) for identifier in (1, 2)]
    assert [answer[:2] for answer in answers] == [b"\0\1", b"\0\2"]
    assert answers[0][2:] == answers[1][2:]


async def test_a_change_is_answered_at_once(dns):
    assert message.code_of(await dns.udp(query("db.shop.svc.cluster.local"))) == message.NXDOMAIN
    dns.informers[follow.SERVICES].put(service("db", clusterIP="None", clusterIPs=["None"]))
    dns.informers[follow.ENDPOINT_SLICES].put(endpoints("db", "10.42.0.1"))
    await asyncio.sleep(0.01)
    assert data_of(await dns.udp(query("db.shop.svc.cluster.local"))) == [b"\x0a\x2a\0\1"]


async def test_other_names_come_from_upstream_and_are_kept(dns):
    answers = [await dns.udp(query("Example.com", A, edns=1232)) for _ in range(3)]
    assert [data_of(answer) for answer in answers] == [[b"\1\2\3\4"]] * 3
    assert dns.asked.asked == 1


async def test_a_large_answer_from_upstream_comes_whole_over_tcp(dns):
    assert message.is_truncated(await dns.udp(query("large.com")))
    (answer,) = await dns.tcp(query("large.com"))
    assert len(message.records_of(answer)) == 50


async def test_an_upstream_that_refuses_is_a_failure(dns, upstream):
    upstream.transport.close()
    await asyncio.sleep(0.01)
    assert message.code_of(await dns.udp(query("example.com"))) == message.SERVFAIL


async def test_a_mistake_of_ours_costs_one_answer(dns, monkeypatch, caplog):
    def fail(*_):
        raise KeyError("a mistake")

    monkeypatch.setattr(dns.server._zone, "answer", fail)
    assert message.code_of(await dns.udp(query(WEB))) == message.SERVFAIL
    monkeypatch.undo()
    assert data_of(await dns.udp(query(WEB)))
    assert "a mistake" in caplog.text


async def test_an_external_name_comes_with_its_address(dns):
    dns.informers[follow.SERVICES].put(service(type="ExternalName", externalName="example.com", clusterIP=""))
    await asyncio.sleep(0.01)
    found = message.records_of(await dns.udp(query(WEB)))
    assert [record.data for record in found] == [(b"example", b"com"), b"\1\2\3\4"]


async def test_what_is_malformed_costs_nothing_but_itself(dns):
    assert message.code_of(await dns.udp(query(WEB)[:-1])) == message.FORMERR
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", dns.address)
    assert data_of(await dns.udp(query(WEB)))


async def test_a_long_query_ends_its_connection(dns):
    reader, writer = await asyncio.open_connection(*dns.address)
    writer.write(b"\xff\xff" + b"x" * 100)
    assert await reader.read() == b""
    writer.close()


async def test_connections_are_bounded(dns, monkeypatch):
    monkeypatch.setattr(listeners, "CONNECTIONS_MAX", 1)
    first = await asyncio.open_connection(*dns.address)
    await asyncio.sleep(0.01)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await dns.tcp(query(WEB))
    first[1].close()


async def test_clients_that_wait_are_bounded(dns, monkeypatch):
    monkeypatch.setattr(listeners, "WAITING_MAX", 0)
    with pytest.raises(TimeoutError):
        await dns.udp(query("example.com"), 0.1)
    assert data_of(await dns.udp(query(WEB)))


async def test_an_idle_connection_ends(dns, monkeypatch):
    monkeypatch.setattr(listeners, "IDLE_SECONDS", 0.05)
    reader, writer = await asyncio.open_connection(*dns.address)
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


async def test_a_taken_address_is_named(dns):
    settings = DnsSettings(listen=(dns.address,))
    other = DnsServer(None, settings, informer_of=dns.informers.__getitem__)
    with pytest.raises(OSError, match=f"DNS cannot listen on 127.0.0.1 port {dns.address[1]}"):
        await other.run()


async def test_a_question_waits_until_the_zone_is_whole(upstream):
    late, whole = StillInformer(), asyncio.Event()
    late.synced = whole.wait
    server = DnsServer(None, DnsSettings(listen=(("127.0.0.1", 0),)), informer_of=lambda _: late)
    task = asyncio.create_task(server.run())
    await server.listening.wait()
    asking = asyncio.create_task(Running(server, {}, upstream).udp(query(WEB)))
    await asyncio.sleep(0.05)
    whole.set()
    assert message.code_of(await asking) == message.NXDOMAIN
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_names_fail_while_the_zone_does_not_become_whole(upstream, monkeypatch):
    monkeypatch.setattr("tiphys.dns.server.INCOMPLETE_SECONDS", 0)
    settings = DnsSettings(listen=(("127.0.0.1", 0),), upstream=(upstream.address,))
    never = StillInformer()
    never.synced = asyncio.Event().wait
    server = DnsServer(None, settings, informer_of=lambda _: never)
    task = asyncio.create_task(server.run())
    await server.listening.wait()
    running = Running(server, {}, upstream)
    assert message.code_of(await running.udp(query(WEB))) == message.SERVFAIL
    assert data_of(await running.udp(query("example.com"))) == [b"\1\2\3\4"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_answers_thousands_a_second(dns):
    """Time on this process's CPU alone, so that a busy machine does not matter much."""
    loop, received, total = asyncio.get_running_loop(), 0, 20_000
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.setblocking(False)
    client.connect(dns.address)
    await dns.udp(query(WEB))
    began = time.process_time()
    while received < total:
        for number in range(100):
            client.send(number.to_bytes(2, "big") + QUERY[2:])
        await asyncio.sleep(0)
        for _ in range(100):
            received += len(await loop.sock_recv(client, 4096)) > 0
    client.close()
    # The client's own half is in the time too.
    assert received / (time.process_time() - began) > RATE_FLOOR
