"""The node's server as a part of a process."""

import asyncio

import pytest

from tiphys.node.server.handler import NodeHandler
from tiphys.node.server.server import NodeServer
from tiphys.pki import authority, tls
from tiphys.wire.messages import Request
from tiphys.wire.pool import HttpPool

SIGNER = authority.create("test")


def context():
    return tls.server_context(SIGNER.issue_node("n", ["127.0.0.1"]), client_authorities=SIGNER.bundle)


def trusts(name):
    return lambda der: authority.subject_of(der).name == name


async def status_of(port, pair):
    pool = HttpPool(f"https://127.0.0.1:{port}", tls=tls.client_context(SIGNER.bundle, pair))
    try:
        return (await pool(Request("GET", "/healthz"))).status
    finally:
        await pool.close()


@pytest.fixture
async def server(here, runtime):
    made = NodeServer(NodeHandler(here, runtime, trusts("api")), context(), host="127.0.0.1", port=0)
    await made.listen()
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    with pytest.raises(ConnectionError):
        await status_of(made.port, None)


async def test_who_may_speak_is_a_matter_of_the_certificate(server):
    pairs = [SIGNER.issue_client("api"), SIGNER.issue_client("admin", ("system:masters",)), None]
    assert [await status_of(server.port, pair) for pair in pairs] == [200, 401, 401]


async def test_a_taken_port_is_told_at_once(server, here, runtime):
    other = NodeServer(NodeHandler(here, runtime, trusts("api")), context(), host="127.0.0.1", port=server.port)
    with pytest.raises(OSError):
        await other.listen()
