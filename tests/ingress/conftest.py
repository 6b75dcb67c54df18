"""A way in on free ports, fed by hand, with small servers behind it."""

import asyncio
import contextlib
import http.client
import shutil
import ssl
from collections import defaultdict

import pytest

from cluster_builders import free_port
from ingress_builders import ingress_class, web
from service_builders import StillInformer, endpoints
from tiphys.ingress import ingress as room
from tiphys.ingress.haproxy import remove
from tiphys.ingress.settings import IngressSettings

KINDS = {
    "Ingress": room.INGRESSES, "IngressClass": room.CLASSES, "Node": room.NODES, "EndpointSlice": room.SLICES,
    "Secret": room.SECRETS,
}  # fmt: skip


class Still(StillInformer):
    def __len__(self):
        return len(self.objects)

    async def run(self):
        await asyncio.Event().wait()


class Tools:
    """What the part is given: caches that are fed by hand, and ears for what it says."""

    def __init__(self):
        self.informers, self.recorder = self, self
        self.caches, self.said, self.performed = defaultdict(Still), [], []

    def of(self, resource):
        return self.caches[resource]

    def apart(self, resource, **_):
        return self.caches[resource]

    def warning(self, obj, reason, message):
        self.said.append((obj["metadata"]["name"], reason, message))

    async def perform(self, commands):
        self.performed += commands


class Way:
    """The part, what it was given, and a client of it."""

    def __init__(self, settings):
        self.settings, self.tools = settings, Tools()
        self.part = room.Ingress(settings, self.tools)
        self.task = None
        self.servers = contextlib.ExitStack()

    async def begin(self):
        self.task = asyncio.create_task(self.part.run())
        await self.settled()

    async def end(self):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def settled(self):
        await asyncio.sleep(0)
        async with asyncio.timeout(20):
            while True:
                await self.part.settled.wait()
                await asyncio.sleep(0)
                if self.part.settled.is_set() and not self.part._wake.is_set():
                    return

    def source(self, obj):
        kind = obj.get("kind") or ("EndpointSlice" if "endpoints" in obj else "Service")
        return self.tools.caches[KINDS.get(kind, room.SERVICES)]

    async def put(self, *objects):
        for obj in objects:
            self.source(obj).put(obj)
        await self.settled()

    async def remove(self, obj):
        self.source(obj).remove(obj)
        await self.settled()

    def server(self, name, service="web"):
        """A server, and the slice that names it."""
        port = self.servers.enter_context(web(name))
        return endpoints(service, "127.0.0.1", port=port)

    async def get(self, host, path="/", *, secure=False, headers=None):
        """(code, body) of a request on a connection of its own."""
        return await asyncio.to_thread(self.get_now, host, path, secure=secure, headers=headers)

    def get_now(self, host, path="/", *, secure=False, headers=None):
        if secure:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            made = http.client.HTTPSConnection("127.0.0.1", self.settings.https_port, context=context, timeout=10)
            # The name that TLS is asked for is that of the request.
            made._create_connection = _connect_to("127.0.0.1")
            made.host = host
        else:
            made = http.client.HTTPConnection("127.0.0.1", self.settings.http_port, timeout=10)
        with contextlib.closing(made):
            made.request("GET", path, headers={"Host": host, **(headers or {})})
            answer = made.getresponse()
            return answer.status, answer.read().decode()


def _connect_to(address):
    import socket

    return lambda place, *more, **kept: socket.create_connection((address, place[1]), *more, **kept)


@pytest.fixture
async def way(tmp_path_factory):
    if shutil.which("haproxy") is None:
        pytest.skip("no haproxy on this machine")
    directory = tmp_path_factory.mktemp("h")
    settings = IngressSettings(directory / "run", "10.0.0.1", "127.0.0.1", free_port(), free_port())
    way = Way(settings)
    try:
        way.source(ingress_class()).put(ingress_class())
        await way.begin()
        yield way
    finally:
        await way.end()
        way.servers.close()
        await asyncio.to_thread(remove, settings.run_dir)
