"""A node handler behind a tiny API server; programs of this machine are its containers."""

from urllib.parse import parse_qs, urlencode

import orjson
import pytest

from stream_builders import Here, LocalRuntime
from tiphys.node.server.doors import ServerLimits
from tiphys.node.server.handler import NodeHandler
from tiphys.wire.messages import Request, Response
from tiphys.wire.pool import HttpPool
from tiphys.wire.relay import relay
from tiphys.wire.server import start

API_SERVER = b"the API server's certificate"
DISCOVERY = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [{"name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "verbs": ["get"]}],
    },
}
JSON = (("Content-Type", "application/json"),)
FLAGS = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}


class Cluster:
    """What kubectl needs of an API server: the pod, and its subresources passed on as the real one does."""

    def __init__(self, here, node_port):
        self.here = here
        self.pool = HttpPool(f"http://127.0.0.1:{node_port}")

    async def __call__(self, request):
        path, _, query = request.target.partition("?")
        words = path.strip("/").split("/")
        if words[-1] == "web":
            return Response(200, JSON, orjson.dumps(self.here.pods()[0]))
        if path in DISCOVERY:
            return Response(200, JSON, orjson.dumps(DISCOVERY[path]))
        answer = await self.pool(Request(request.method, self.target(words, parse_qs(query)), request.headers))
        if answer.stream is None:
            return answer
        upstream = answer.stream
        return Response(101, answer.headers, takeover=lambda raw: relay(raw, upstream))

    @staticmethod
    def target(words, query):
        verb, place = words[-1], f"{words[3]}/web"
        if verb == "portforward":
            return f"/portForward/{place}?{urlencode([('port', p) for p in query.get('ports', ())])}"
        if verb == "log":
            query.pop("container", None)
            return f"/containerLogs/{place}/c?{urlencode(query, doseq=True)}"
        passed = [(FLAGS[name], "1") for name in FLAGS if query.get(name) == ["true"]]
        passed += [("command", word) for word in query.get("command", ())]
        return f"/{verb}/{place}/c?{urlencode(passed)}"


@pytest.fixture
def runtime():
    return LocalRuntime()


@pytest.fixture
def here():
    return Here()


@pytest.fixture
async def node(runtime, here):
    """The node's server, reached as the API server does but without TLS. `node.inner` is the handler."""
    inner = NodeHandler(here, runtime, lambda der: der == API_SERVER, limits=ServerLimits(quiet_seconds=0.3))

    async def handler(request):
        request.certificate = API_SERVER
        return await inner(request)

    server = await start(handler)
    server.inner = inner
    yield server
    await server.close()
    for process in runtime.processes:
        await process.clean_up()


@pytest.fixture
async def cluster(node, here):
    cluster = Cluster(here, node.port)
    server = await start(cluster)
    yield server
    await server.close()
    await cluster.pool.close()
