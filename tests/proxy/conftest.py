"""A node of the proxy's tests: settings whose names and ranges collide with nobody's, pods, and packets that flow."""

import asyncio
import contextlib
from collections import defaultdict

import pytest

from network_builders import serving, socket_in
from service_builders import StillInformer
from tiphys.network.kernel import KernelNetwork
from tiphys.network.settings import NetworkSettings
from tiphys.proxy.policy.follow import NAMESPACES, NETWORK_POLICIES, PODS
from tiphys.proxy.proxy import ENDPOINT_SLICES, SERVICES, Proxy
from tiphys.proxy.settings import ProxySettings

KINDS = {"NetworkPolicy": NETWORK_POLICIES, "Pod": PODS, "Namespace": NAMESPACES}


@pytest.fixture
def proxy_settings():
    return ProxySettings("n1", cluster_cidr="10.91.0.0/16", service_cidr="10.92.0.0/24", table="tiphystest-services")


class Bench:
    """A node: pods that answer on port 8080, and a proxy fed by hand."""

    def __init__(self, network, proxy, informers):
        self.network, self.proxy = network, proxy
        self.informers = informers
        self.services, self.slices = informers[SERVICES], informers[ENDPOINT_SLICES]
        self.pods = contextlib.ExitStack()

    async def pod(self, name, port=8080):
        lease = await self.network.acquire(name)
        self.pods.enter_context(serving(socket_in(lease), port))
        return lease

    def source(self, obj):
        resource = KINDS.get(obj.get("kind"), ENDPOINT_SLICES if "endpoints" in obj else SERVICES)
        return self.informers[resource]

    async def remove(self, obj):
        self.source(obj).remove(obj)
        await self.turn()

    async def settled(self):
        await asyncio.sleep(0)
        await self.proxy.settled.wait()

    async def put(self, *objects):
        for obj in objects:
            self.source(obj).put(obj)
        await self.turn()

    async def turn(self):
        """Let the proxy see what came, and write it."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await self.settled()


@pytest.fixture
async def bench(own_network, tmp_path, proxy_settings):
    network = KernelNetwork(
        NetworkSettings(
            run_dir=tmp_path / "run", bridge="tipt0", pod_cidr="10.91.0.0/24", service_cidr="10.92.0.0/24",
            table="tiphystest",
        )
    )  # fmt: skip
    informers = defaultdict(StillInformer)
    proxy = Proxy(proxy_settings, informers.__getitem__)
    running = asyncio.create_task(proxy.run())
    bench = Bench(network, proxy, informers)
    try:
        await network.open()
        await asyncio.wait_for(proxy.settled.wait(), 5)
        yield bench
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        bench.pods.close()
        await network.purge()
