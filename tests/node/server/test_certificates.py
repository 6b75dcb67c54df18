"""The node's server over TLS."""

from tiphys.node.server.handler import NodeHandler
from tiphys.pki import authority, tls
from tiphys.wire import server as http
from tiphys.wire.messages import Request
from tiphys.wire.pool import HttpPool

SIGNER = authority.create("test")


def is_api_server(certificate):
    return authority.subject_of(certificate).name == "api"


async def status_of(port, pair):
    pool = HttpPool(f"https://127.0.0.1:{port}", tls=tls.client_context(SIGNER.bundle, pair))
    try:
        return (await pool(Request("GET", "/healthz"))).status
    finally:
        await pool.close()


async def test_who_may_speak_is_a_matter_of_the_certificate(here, runtime):
    context = tls.server_context(SIGNER.issue_node("n", ["127.0.0.1"]), client_authorities=SIGNER.bundle)
    server = await http.start(NodeHandler(here, runtime, is_api_server), tls=context)
    pairs = [SIGNER.issue_client("api"), SIGNER.issue_client("admin", ("system:masters",)), None]
    assert [await status_of(server.port, pair) for pair in pairs] == [200, 401, 401]
    await server.close()
