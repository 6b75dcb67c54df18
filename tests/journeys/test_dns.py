"""DNS against a real API server: a Service that is created can be asked for."""

import asyncio
import socket

import pytest

from dns_builders import query
from tiphys.api import resources
from tiphys.client.client import Client
from tiphys.cluster import master
from tiphys.cluster.process import Progress
from tiphys.cluster.settings import Settings
from tiphys.dns import message
from tiphys.dns.message import PTR, SRV, A
from tiphys.dns.server import DnsServer
from tiphys.dns.settings import DnsSettings
from tiphys.wire.messages import Identity

ADMIN = Identity("admin", ("system:masters",))
SERVICES = resources.get("", "v1", "services")
SLICES = resources.get("discovery.k8s.io", "v1", "endpointslices")
PORT = {"name": "http", "port": 80, "protocol": "TCP"}


def service(name, **spec):
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"ports": [PORT], **spec}}


def slice_of(name, address, hostname):
    labels = {"kubernetes.io/service-name": name}
    return {
        "metadata": {"name": f"{name}-1", "namespace": "default", "labels": labels},
        "addressType": "IPv4",
        "ports": [PORT],
        "endpoints": [{"addresses": [address], "hostname": hostname, "conditions": {"ready": True}}],
    }


@pytest.fixture
async def cluster(tmp_path):
    """A client, and `ask(name, type)` for a running DNS server."""
    settings = Settings(data_dir=tmp_path, port=0, bind="127.0.0.1", memory=True)
    async with master.serving(settings, Progress(None)) as running:
        client = Client(running.handle, identity=ADMIN)
        server = DnsServer(client, DnsSettings(listen=(("127.0.0.1", 0),), upstream=(("192.0.2.1", 53),)))
        task = asyncio.create_task(server.run())
        await asyncio.wait_for(server.synced.wait(), 10)

        def ask(name, kind=A):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
                asking.settimeout(5)
                asking.sendto(query(name, kind), server.addresses[0])
                return asking.recv(4096)

        async def count(name, kind=A, *, wanted):
            """The number of answers, once it is the one that is wanted or a second has passed."""
            for _ in range(100):
                answer = await asyncio.to_thread(ask, name, kind)
                if message.answer_count(answer) == wanted:
                    break
                await asyncio.sleep(0.01)
            return message.answer_count(answer)

        yield client, count
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_service_is_known_by_its_name_and_address(cluster):
    client, count = cluster
    address = (await client.create(SERVICES, service("web")))["spec"]["clusterIP"]
    reverse = ".".join(reversed(address.split("."))) + ".in-addr.arpa"
    assert await count("web.default.svc.cluster.local", wanted=1) == 1
    assert await count("_http._tcp.web.default.svc.cluster.local", SRV, wanted=1) == 1
    assert await count(reverse, PTR, wanted=1) == 1


async def test_the_api_itself_is_known(cluster):
    assert await cluster[1]("kubernetes.default.svc.cluster.local", wanted=1) == 1


async def test_a_pod_of_a_headless_service_comes_and_goes(cluster):
    client, count = cluster
    await client.create(SERVICES, service("db", clusterIP="None"))
    await client.create(SLICES, slice_of("db", "10.42.0.5", "db-0"))
    assert await count("db-0.db.default.svc.cluster.local", wanted=1) == 1
    await client.delete(SLICES, ("default", "db-1"))
    assert await count("db-0.db.default.svc.cluster.local", wanted=0) == 0
