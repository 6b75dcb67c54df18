"""kubectl, the API server and a node's server, all over TLS: exec, attach, cp, logs and port-forward end to end."""

import asyncio
import os
import shutil
from contextlib import asynccontextmanager

import pytest

from stream_builders import Here, LocalRuntime
from tiphys.api import resources
from tiphys.client.client import Client
from tiphys.cluster import identities, master
from tiphys.cluster.process import Progress
from tiphys.cluster.settings import Settings
from tiphys.node.server.doors import ServerLimits
from tiphys.node.server.handler import NodeHandler
from tiphys.pki import tls
from tiphys.pki.authority import subject_of
from tiphys.wire import server as http
from tiphys.wire.messages import Identity, Request
from tiphys.wire.pool import HttpPool

KUBECTL = shutil.which("kubectl")
ADMIN = Identity("admin", ("system:masters",))
POD = {
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]},
}

pytestmark = pytest.mark.skipif(KUBECTL is None, reason="no kubectl on this machine")
both_ways = pytest.mark.parametrize("websocket", ["true", "false"])


@asynccontextmanager
async def node_server(keys, runtime, here):
    """The node's server with the node's own certificate."""

    def is_api_server(certificate):
        return subject_of(certificate).name == identities.KUBELET_CLIENT

    handler = NodeHandler(here, runtime, is_api_server, limits=ServerLimits(quiet_seconds=0.3))
    context = tls.server_context(keys.node, client_authorities=keys.authority.bundle)
    server = await http.start(handler, tls=context)
    yield server
    await server.close()
    for process in runtime.processes:
        await process.clean_up()


async def create_pod(client, port):
    """A running pod, as a scheduler and a node would have left it."""
    account = {"metadata": {"name": "default", "namespace": "shop"}}
    await client.create(resources.get("", "v1", "namespaces"), {"metadata": {"name": "shop"}})
    await client.create(resources.get("", "v1", "serviceaccounts"), account)
    nodes, addresses = resources.get("", "v1", "nodes"), [{"type": "InternalIP", "address": "127.0.0.1"}]
    await client.create(nodes, {"metadata": {"name": "n"}})
    status = {"addresses": addresses, "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}
    await client.patch(nodes, ("", "n"), {"status": status}, subresource="status")
    pods = resources.get("", "v1", "pods")
    await client.create(pods, POD)
    await client.patch(pods, ("shop", "web"), {"status": {"phase": "Running"}}, subresource="status")


@pytest.fixture
async def cluster(tmp_path):
    """`await cluster(websocket, *words)` calls kubectl; gives code, output, errors."""
    settings = Settings(data_dir=tmp_path / "data", port=0, bind="127.0.0.1", memory=True, node_name="n")
    runtime, here, started = LocalRuntime(), Here(), []

    async def begin(websocket, *words):
        own = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": websocket, "KUBECTL_PORT_FORWARD_WEBSOCKETS": websocket}
        pipe = asyncio.subprocess.PIPE
        config = ["--kubeconfig", str(settings.admin_kubeconfig), "--cache-dir", str(tmp_path / "cache")]
        started.append(
            await asyncio.create_subprocess_exec(
                KUBECTL, *config, "-n", "shop", *words, stdin=pipe, stdout=pipe, stderr=pipe, env=os.environ | own
            )
        )
        return started[-1]

    async def call(websocket, *words, stdin=b""):
        process = await begin(websocket, *words)
        out, err = await asyncio.wait_for(process.communicate(stdin), 30)
        return process.returncode, out, err.decode()

    async with (
        master.serving(settings, Progress(None)) as running,
        node_server(running.identities, runtime, here) as server,
    ):
        await create_pod(Client(running.handle, identity=ADMIN), server.port)
        call.begin, call.runtime, call.node, call.keys = begin, runtime, server, running.identities
        yield call
        for process in started:
            if process.returncode is None:
                process.kill()
                await process.communicate()


@both_ways
async def test_exec_with_input_and_exit_code(cluster, websocket):
    code, out, err = await cluster(
        websocket, "exec", "-i", "web", "--", "sh", "-c", "cat; exit 7", stdin=b"x" * 100_000
    )
    assert (code, len(out)) == (7, 100_000), err


@both_ways
async def test_attach_and_logs(cluster, websocket):
    cluster.runtime.attached = ["sh", "-c", "read line; echo got $line"]
    assert (await cluster(websocket, "attach", "-i", "web", stdin=b"word\n"))[1] == b"got word\n"
    assert (await cluster(websocket, "logs", "web"))[1] == b"hello\n"


@both_ways
async def test_cp_there_and_back(cluster, websocket, tmp_path):
    (tmp_path / "here").write_bytes(content := os.urandom(300_000))
    first = await cluster(websocket, "cp", str(tmp_path / "here"), f"web:{tmp_path}/there")
    second = await cluster(websocket, "cp", f"web:{tmp_path}/there", str(tmp_path / "back"))
    assert (first[0], second[0]) == (0, 0), (first, second)
    assert (tmp_path / "back").read_bytes() == content


@both_ways
async def test_port_forward(cluster, websocket):
    async def answer(reader, writer):
        writer.write(await reader.readexactly(5))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    process = await cluster.begin(websocket, "port-forward", "web", f":{server.sockets[0].getsockname()[1]}")
    line = await asyncio.wait_for(process.stdout.readline(), 10)
    assert b"Forwarding" in line, await process.stderr.read()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(line.split()[2].rpartition(b":")[2]))
    writer.write(b"hello")
    assert await asyncio.wait_for(reader.read(), 10) == b"hello"
    writer.close()
    server.close()


async def test_the_administrator_does_not_get_into_the_node_itself(cluster):
    own = tls.client_context(cluster.keys.authority.bundle, cluster.keys.admin)
    pool = HttpPool(f"https://127.0.0.1:{cluster.node.port}", tls=own, server_name="n")
    assert (await pool(Request("GET", "/pods"))).status == 401
    await pool.close()
