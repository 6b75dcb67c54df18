"""A node handler behind a tiny API server; programs of this machine are its containers."""

import pytest

from stream_builders import Cluster, Here, LocalRuntime
from tiphys.node.server.doors import ServerLimits
from tiphys.node.server.handler import NodeHandler
from tiphys.wire.server import start

API_SERVER = b"the API server's certificate"


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
