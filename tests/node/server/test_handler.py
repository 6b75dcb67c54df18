"""The node's routes without a socket: who may speak, what is refused, what comes back."""

import orjson
import pytest

from tiphys.node.server.doors import ServerLimits
from tiphys.node.server.handler import NodeHandler
from tiphys.wire.messages import Request

SPDY = {"upgrade": "SPDY/3.1", "x-stream-protocol-version": "v4.channel.k8s.io"}
WEBSOCKET = {"upgrade": "websocket", "sec-websocket-key": "x", "sec-websocket-version": "13"}
TRUSTED = b"trusted"


@pytest.fixture
def ask(here, runtime):
    handler = NodeHandler(here, runtime, lambda der: der == TRUSTED, clock=lambda: 1_800_000_000.0)

    async def request(target, headers=None, certificate=TRUSTED):
        return await handler(Request("GET", target, headers or {}, certificate=certificate))

    request.handler = handler
    return request


@pytest.mark.parametrize("certificate", [None, b"somebody else's"])
async def test_nobody_else_gets_in(ask, certificate):
    for target in ("/healthz", "/pods", "/exec/shop/web/c?output=1&command=id", "/nothing"):
        assert (await ask(target, certificate=certificate)).status == 401


async def test_tells_that_it_is_well(ask):
    assert (await ask("/healthz")).body == b"ok"


async def test_lists_its_pods_as_the_api_does(ask):
    document = orjson.loads((await ask("/pods")).body)
    assert (document["kind"], document["items"][0]["metadata"]["name"]) == ("PodList", "web")


async def test_gives_its_metrics(ask):
    assert b"# TYPE" in (await ask("/metrics")).body


@pytest.mark.parametrize("target", ["/", "/exec/shop/web", "/stats/other", "/containerLogs/shop/web/c/d"])
async def test_unknown_paths_are_not_found(ask, target):
    assert (await ask(target)).status == 404


async def test_a_log_that_is_not_there_is_a_status(ask):
    answer = await ask("/containerLogs/shop/web/other")
    assert (answer.status, orjson.loads(answer.body)["reason"]) == (404, "NotFound")


async def test_log_options_are_read(ask, here):
    query = "follow=true&sinceSeconds=60&limitBytes=9&stream=Stderr&tailLines=0"
    await ask(f"/containerLogs/shop/web/c?{query}")
    options = here.asked[0]
    assert (options.follow, options.since, options.limit_bytes, options.tail) == (True, 1_799_999_940.0, 9, 0)
    assert options.stream == "stderr"


@pytest.mark.parametrize("query", ["tailLines=x", "sinceTime=yesterday", "stream=all", "limitBytes=-1"])
async def test_wrong_log_options_are_refused(ask, query):
    assert (await ask(f"/containerLogs/shop/web/c?{query}")).status == 400


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        ("/exec/shop/web/c?command=id", SPDY, 400),  # no stream at all
        ("/exec/shop/web/c?output=1", SPDY, 400),  # no command
        ("/exec/shop/web/c?output=1&command=id", {}, 400),  # no upgrade
        ("/exec/shop/web/c?output=1&command=id", {**SPDY, "x-stream-protocol-version": "v9"}, 403),
        ("/exec/shop/web/c?output=1&command=id", {**WEBSOCKET, "sec-websocket-protocol": "v9"}, 400),
        ("/exec/shop/web/other?output=1&command=id", SPDY, 404),
        ("/portForward/shop/web", {**SPDY, "x-stream-protocol-version": "v4.channel.k8s.io"}, 403),
        ("/portForward/shop/web", WEBSOCKET, 400),  # channels need their ports
        ("/portForward/shop/web?port=0", WEBSOCKET, 400),
        ("/portForward/shop/web?port=x", WEBSOCKET, 400),
        ("/attach/shop/web/c?" + "a=1&" * 3000, SPDY, 400),
    ],
)
async def test_streams_that_cannot_be_are_refused_in_plain_words(ask, target, headers, status):
    answer = await ask(target, headers)
    assert (answer.status, dict(answer.headers)["Content-Type"]) == (status, "text/plain; charset=utf-8")
    assert answer.body.strip()


async def test_the_clients_first_protocol_is_taken(ask):
    headers = {**SPDY, "x-stream-protocol-version": "v5.channel.k8s.io, v3.channel.k8s.io, v4.channel.k8s.io"}
    answer = await ask("/exec/shop/web/c?output=1&command=id", headers)
    assert (answer.status, dict(answer.headers)["X-Stream-Protocol-Version"]) == (101, "v3.channel.k8s.io")


async def test_streams_are_bounded(here, runtime):
    limits = ServerLimits(sessions_max=0)
    handler = NodeHandler(here, runtime, lambda der: True, limits=limits)
    request = Request("GET", "/exec/shop/web/c?output=1&command=id", SPDY, certificate=TRUSTED)
    assert (await handler(request)).status == 429
