"""Rules in the kernel and packets that flow: Services as pods, the host and outsiders meet them."""

import asyncio
import contextlib
import socket
import subprocess
import threading
from collections import Counter

import pytest

from network_builders import call, nft, socket_in
from service_builders import endpoint, endpoints, service

pytestmark = pytest.mark.host


async def test_a_pod_and_the_host_reach_a_pod_through_the_cluster_address(bench):
    web, client = await bench.pod("web"), await bench.pod("client")
    await bench.put(service(), endpoints("web", web.address))
    assert await call(socket_in(client), "10.92.0.10", 80) == client.address
    assert await call(socket.socket(), "10.92.0.10", 80) == web.gateway


async def test_a_pod_reaches_itself_through_its_service(bench):
    web = await bench.pod("web")
    await bench.put(service(), endpoints("web", web.address))
    assert await call(socket_in(web), "10.92.0.10", 80) == web.gateway


async def test_all_works_as_well_where_bridged_frames_pass_the_ip_hooks(bench):
    subprocess.run(["sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1"], check=True)
    web, client = await bench.pod("web"), await bench.pod("client")
    await bench.put(service(), endpoints("web", web.address))
    assert await call(socket_in(client), "10.92.0.10", 80) == client.address
    assert await call(socket_in(web), "10.92.0.10", 80) == web.gateway


async def test_connections_spread_over_the_endpoints(bench):
    pods = [await bench.pod(f"web-{n}") for n in range(3)]
    counts = Counter()
    await bench.put(service(), endpoints("web", *(pod.address for pod in pods)))
    for pod in pods:
        await bench.put(service("one", clusterIP="10.92.0.11"), endpoints("one", pod.address))
    for _ in range(60):
        with socket.create_connection(("10.92.0.10", 80), timeout=3):
            pass
    listing = nft("list", "map", "ip", "tiphystest-services", "endpoints")
    counts.update(pod.address for pod in pods if pod.address in listing)
    assert len(counts) == 3


async def test_a_node_port_works_on_every_address_of_the_node_and_loopback(bench):
    web = await bench.pod("web")
    await bench.put(service("web", {"port": 80, "nodePort": 30080}, type="NodePort"), endpoints("web", web.address))
    for address in ("127.0.0.1", web.gateway):
        assert await call(socket.socket(), address, 30080) == web.gateway
    assert await call(socket_in(web), web.gateway, 30080) == web.gateway


async def test_an_external_address_leads_to_the_pods(bench):
    web, client = await bench.pod("web"), await bench.pod("client")
    await bench.put(service(externalIPs=["198.51.100.7"]), endpoints("web", web.address))
    assert await call(socket_in(client), "198.51.100.7", 80) == web.gateway


async def test_the_local_policy_keeps_the_source_of_an_outsider(bench):
    web = await bench.pod("web")
    subprocess.run(["ip", "netns", "add", "tiptout"], check=True)
    try:
        commands = """
            ip link add out0 type veth peer name out1 netns tiptout
            ip addr add 203.0.113.1/24 dev out0
            ip link set out0 up
            ip -n tiptout addr add 203.0.113.2/24 dev out1
            ip -n tiptout link set out1 up
        """
        for line in commands.strip().splitlines():
            subprocess.run(line.split(), check=True)
        for policy, seen in (("Local", "203.0.113.2"), ("Cluster", web.gateway)):
            ports = {"port": 80, "nodePort": 30080}
            await bench.put(
                service("web", ports, type="NodePort", externalTrafficPolicy=policy), endpoints("web", web.address)
            )
            lease = type("Lease", (), {"path": "/run/netns/tiptout"})
            assert await call(socket_in(lease), "203.0.113.1", 30080) == seen
    finally:
        subprocess.run(["ip", "netns", "del", "tiptout"], check=True)


async def test_without_endpoints_a_connection_is_refused_at_once(bench):
    client = await bench.pod("client")
    await bench.put(service("web", {"port": 80, "nodePort": 30080}, type="NodePort"))
    for made, address, port in (
        (socket_in(client), "10.92.0.10", 80),
        (socket.socket(), "10.92.0.10", 80),
        (socket.socket(), "127.0.0.1", 30080),
    ):
        with pytest.raises(ConnectionRefusedError):
            await call(made, address, port)


async def test_an_address_or_port_that_no_service_has_is_refused(bench):
    web = await bench.pod("web")
    await bench.put(service(), endpoints("web", web.address))
    for address, port in (("10.92.0.10", 81), ("10.92.0.99", 80)):
        with pytest.raises(ConnectionRefusedError):
            await call(socket_in(web), address, port)
        with pytest.raises(ConnectionRefusedError):
            await call(socket.socket(), address, port)


async def test_an_endpoint_that_becomes_unready_gets_no_new_connections(bench):
    web, other = await bench.pod("web"), await bench.pod("other")
    await bench.put(service(), endpoints("web", web.address))
    await bench.put(endpoints("web", endpoint(web.address, ready=False), other.address))
    listing = nft("list", "map", "ip", "tiphystest-services", "endpoints")
    assert other.address in listing and web.address not in listing


async def test_a_deleted_service_leaves_no_rules(bench):
    before = nft("list", "table", "ip", "tiphystest-services")
    web = service("web", {"port": 80, "nodePort": 30080}, type="NodePort", sessionAffinity="ClientIP")
    slice_ = endpoints("web", "10.91.0.77", "10.91.0.78")
    await bench.put(web, slice_)
    bench.slices.remove(slice_)
    bench.services.remove(web)
    await bench.put(service("other", clusterIP="None"))
    assert nft("list", "table", "ip", "tiphystest-services") == before


async def test_affinity_brings_a_client_back_to_its_endpoint(bench):
    pods = [await bench.pod(f"web-{n}") for n in range(2)]
    targets = {}
    for number, pod in enumerate(pods):
        targets[pod.address] = 9000 + number
        bench.pods.enter_context(naming(socket_in(pod), 9000, pod.address))
    await bench.put(service(sessionAffinity="ClientIP"), endpoints("web", *(pod.address for pod in pods), port=9000))
    seen = {await call(socket.socket(), "10.92.0.10", 80) for _ in range(20)}
    assert len(seen) == 1


async def test_without_affinity_a_client_meets_every_endpoint(bench):
    pods = [await bench.pod(f"web-{n}") for n in range(2)]
    for pod in pods:
        bench.pods.enter_context(naming(socket_in(pod), 9000, pod.address))
    await bench.put(service(), endpoints("web", *(pod.address for pod in pods), port=9000))
    seen = {await call(socket.socket(), "10.92.0.10", 80) for _ in range(40)}
    assert seen == {pod.address for pod in pods}


async def test_udp_moves_to_another_endpoint_when_its_own_is_gone(bench):
    pods = [await bench.network.acquire(f"dns-{n}") for n in range(2)]
    answering = [socket_in(pod, socket.SOCK_DGRAM) for pod in pods]
    for made in answering:
        made.bind(("0.0.0.0", 5353))
    port = {"port": 53, "protocol": "UDP"}
    with socket_in(await bench.network.acquire("client"), socket.SOCK_DGRAM) as client:
        client.bind(("0.0.0.0", 4444))
        for pod, made in zip(pods, answering, strict=True):
            await bench.put(service("dns", port), endpoints("dns", pod.address, port=5353, protocol="UDP"))
            client.sendto(b"question", ("10.92.0.10", 53))
            _, peer = made.recvfrom(100)
            made.sendto(b"answer", peer)
            assert client.recvfrom(100) == (b"answer", ("10.92.0.10", 53))
    for made in answering:
        made.close()


async def test_tables_deleted_by_hand_come_back(bench):
    web = await bench.pod("web")
    await bench.put(service(), endpoints("web", web.address))
    nft("delete", "table", "ip", "tiphystest-services")
    await bench.proxy._table.repaired.wait()
    assert await call(socket.socket(), "10.92.0.10", 80) == web.gateway


async def test_an_element_deleted_by_hand_comes_back(bench):
    web = await bench.pod("web")
    await bench.put(service(), endpoints("web", web.address))
    nft("flush", "map", "ip", "tiphystest-services", "services")
    await bench.proxy._table.repaired.wait()
    assert await call(socket.socket(), "10.92.0.10", 80) == web.gateway


async def test_own_changes_are_not_taken_for_somebody_elses(bench):
    for number in range(5):
        await bench.put(service(), endpoints("web", f"10.91.0.{number + 2}"))
    nft("add table ip other")
    await asyncio.sleep(0.01)
    assert not bench.proxy._table.repaired.is_set()


@contextlib.contextmanager
def naming(made, port, name):
    """Answer each connection with the server's own name."""
    made.bind(("0.0.0.0", port))
    made.listen(50)
    made.settimeout(None)

    def work():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = made.accept()
                with connection:
                    connection.sendall(name.encode())

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            made.shutdown(socket.SHUT_RDWR)
        made.close()
        thread.join()


async def test_who_ends_a_pod_is_told_when_nobody_is_led_to_it(bench):
    web = await bench.pod("web")
    pod = endpoint(web.address) | {"targetRef": {"kind": "Pod", "uid": "u1"}}
    await bench.put(service(), endpoints("web", pod))
    waiting = asyncio.create_task(bench.proxy.withdrawn("u1"))
    await bench.put(endpoints("web", pod, endpoint("10.91.0.99")))
    assert not waiting.done()
    leaving = pod | {"conditions": {"ready": False, "serving": True, "terminating": True}}
    await bench.put(endpoints("web", leaving, endpoint("10.91.0.99")))
    async with asyncio.timeout(5):
        await waiting
        await bench.proxy.withdrawn("of nobody")
    assert web.address not in nft("list", "table", "ip", "tiphystest-services")
