"""The pool against our own server, and against servers that misbehave."""

import asyncio

import pytest

from tiphys.wire.link import ConnectionLost
from tiphys.wire.messages import Request, Response
from tiphys.wire.pool import ConnectFailed, HttpPool, NoAnswer, PoolBusy, PoolLimits
from tiphys.wire.relay import relay


@pytest.fixture
async def pool_to():
    pools = []

    def make(server, **options):
        pools.append(HttpPool(f"http://127.0.0.1:{server.port}{options.pop('prefix', '')}", **options))
        return pools[-1]

    yield make
    for pool in pools:
        await pool.close()


@pytest.fixture
async def speak():
    """A server that answers each connection with the bytes it is given, whatever was asked."""
    servers = []

    class Scripted:
        connections = 0

        async def start(self, *scripts: list[bytes]):
            async def talk(reader, writer):
                script = scripts[min(self.connections, len(scripts) - 1)]
                self.connections += 1
                for answer in script:
                    await reader.readuntil(b"\r\n\r\n")
                    writer.write(answer)
                writer.close()

            server = await asyncio.start_server(talk, "127.0.0.1", 0)
            servers.append(server)
            self.port = server.sockets[0].getsockname()[1]
            return self

    yield Scripted()
    for server in servers:
        server.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def describe(request: Request) -> Response:
    text = f"{request.method} {request.target} {request.headers.get('authorization', '-')} {request.body.decode()}"
    return Response(200, (("X-Peer", request.peer),), text.encode())


async def test_sends_prefix_headers_and_body(serve, pool_to):
    pool = pool_to(await serve(describe), prefix="/base/", headers=lambda: {"Authorization": "Bearer t"})
    response = await pool(Request("POST", "/a?b=c", {"content-type": "text/plain"}, b"body"))
    assert (response.status, response.body) == (200, b"POST /base/a?b=c Bearer t body")


async def test_uses_a_connection_again(serve, pool_to):
    pool = pool_to(await serve(describe))
    peers = [dict((await pool(Request("GET", "/"))).headers)["x-peer"] for _ in range(5)]
    assert len(set(peers)) == 1


async def test_streams_a_body_and_gives_the_connection_back_at_its_end(serve, pool_to):
    async def body():
        yield b"one"
        await asyncio.sleep(0)
        yield b"two"

    async def handler(request: Request) -> Response:
        return Response(200, (), body())

    server = await serve(handler)
    pool = pool_to(server, limits=PoolLimits(connections_max=1, wait_seconds=5))
    for _ in range(3):
        response = await pool(Request("GET", "/"))
        assert b"".join([chunk async for chunk in response.body]) == b"onetwo"
    assert server.connections == 1


@pytest.mark.parametrize("leave", ["close", "drop"])
async def test_a_stream_that_is_left_frees_its_place_and_the_server_s_iterator(serve, pool_to, leave):
    ended = asyncio.Event()

    async def body():
        try:
            yield b"one"
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def handler(request: Request) -> Response:
        return Response(200, (), body() if request.target == "/watch" else b"plain")

    pool = pool_to(await serve(handler), limits=PoolLimits(connections_max=1, wait_seconds=5))
    response = await pool(Request("GET", "/watch"))
    assert await anext(response.body) == b"one"
    if leave == "close":
        await response.body.aclose()
    del response
    assert (await pool(Request("GET", "/"))).body == b"plain"
    await asyncio.wait_for(ended.wait(), 5)


async def test_an_unread_stream_holds_the_server_back_and_arrives_whole(serve, pool_to):
    made = 0

    async def body():
        nonlocal made
        for _ in range(300):
            made += 1
            yield b"x" * 100_000

    async def handler(request: Request) -> Response:
        return Response(200, (), body())

    response = await pool_to(await serve(handler))(Request("GET", "/"))
    before = -1
    while made != before:
        before = made
        await asyncio.sleep(0.05)
    assert made < 300
    assert sum([len(chunk) async for chunk in response.body]) == 30_000_000


async def test_a_stale_connection_is_replaced_for_a_get(speak):
    server = await speak.start([OK, b""], [OK])
    pool = HttpPool(f"http://127.0.0.1:{server.port}")
    assert (await pool(Request("GET", "/"))).body == b"ok"
    assert (await pool(Request("GET", "/"))).body == b"ok"
    assert server.connections == 2
    await pool.close()


async def test_a_post_is_never_sent_twice(speak):
    server = await speak.start([OK, b""], [OK])
    pool = HttpPool(f"http://127.0.0.1:{server.port}")
    assert (await pool(Request("POST", "/"))).body == b"ok"
    with pytest.raises(ConnectionLost):
        await pool(Request("POST", "/"))
    assert server.connections == 1
    await pool.close()


@pytest.mark.parametrize(
    "answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut", b"HTTP/1.1 200 O"]
)
async def test_a_broken_answer_raises(speak, answer):
    server = await speak.start([answer])
    pool = HttpPool(f"http://127.0.0.1:{server.port}")
    with pytest.raises(ConnectionError):
        await pool(Request("GET", "/"))
    await pool.close()


async def test_a_chunked_answer_that_is_cut_raises_where_it_is_read(speak):
    server = await speak.start([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"])
    pool = HttpPool(f"http://127.0.0.1:{server.port}")
    response = await pool(Request("GET", "/"))
    assert await anext(response.body) == b"abc"
    with pytest.raises(ConnectionLost):
        await anext(response.body)
    await pool.close()


async def test_reads_interim_answers_heads_and_answers_that_end_with_the_connection(speak):
    interim = b"HTTP/1.1 100 Continue\r\n\r\n" + OK
    until_end = b"HTTP/1.0 200 OK\r\n\r\nall of it"
    server = await speak.start([interim, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"], [until_end])
    pool = HttpPool(f"http://127.0.0.1:{server.port}")
    assert (await pool(Request("GET", "/"))).body == b"ok"
    assert (await pool(Request("HEAD", "/"))).body == b""
    response = await pool(Request("GET", "/"))
    assert b"".join([chunk async for chunk in response.body]) == b"all of it"
    await pool.close()


async def test_no_connection_no_place_and_no_answer_say_so(serve):
    async def forever(request: Request) -> Response:
        await asyncio.Event().wait()
        return Response(200)

    server = await serve(forever)
    limits = PoolLimits(connections_max=1, wait_seconds=0.01, answer_seconds=0.1)
    pool = HttpPool(f"http://127.0.0.1:{server.port}", limits=limits)
    first = asyncio.create_task(pool(Request("GET", "/")))
    await asyncio.sleep(0)
    with pytest.raises(PoolBusy):
        await pool(Request("GET", "/"))
    with pytest.raises(NoAnswer):
        await first
    await server.close()
    with pytest.raises(ConnectFailed):
        await pool(Request("GET", "/"))


async def test_speaks_over_a_unix_socket(serve, tmp_path):
    path = str(tmp_path / "s")
    await serve(describe, host=path)
    pool = HttpPool("http+unix://" + path.replace("/", "%2F"))
    assert (await pool(Request("GET", "/x"))).body == b"GET /x - "
    await pool.close()


async def test_an_upgrade_goes_through_a_proxy_with_half_closes(serve, pool_to):
    async def shout(stream) -> None:
        received = b""
        while data := await stream.read():
            received += data
        await stream.write(received.upper())  # after the client has ended its output

    async def node(request: Request) -> Response:
        assert request.headers["upgrade"] == "SPDY/3.1"
        return Response(101, (("Upgrade", "SPDY/3.1"), ("X-A", "b")), takeover=shout)

    to_node = pool_to(await serve(node))

    async def proxy(request: Request) -> Response:
        response = await to_node(request)
        assert response.stream is not None
        stream = response.stream
        return Response(101, response.headers, takeover=lambda left: relay(left, stream))

    pool = pool_to(await serve(proxy))
    response = await pool(Request("POST", "/exec", {"upgrade": "SPDY/3.1", "connection": "Upgrade"}))
    assert response.status == 101 and ("x-a", "b") in response.headers
    stream = response.stream
    await stream.write(b"quiet " * 100_000)
    await stream.close_output()
    received = b""
    while data := await stream.read():
        received += data
    assert received == b"QUIET " * 100_000
    await stream.close()


async def test_a_refused_upgrade_is_an_ordinary_answer(serve, pool_to):
    pool = pool_to(await serve(describe))
    response = await pool(Request("GET", "/a", {"upgrade": "websocket", "connection": "Upgrade"}))
    assert (response.status, response.stream) == (200, None)
