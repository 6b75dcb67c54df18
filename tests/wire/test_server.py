"""The server as bytes on a socket."""

import asyncio
import logging
import socket
import struct

import pytest

from tiphys.wire.messages import Request, Response
from tiphys.wire.reader import Limits

GET = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"


async def echo(request: Request) -> Response:
    return Response(200, (("X-Target", request.target),), request.method.encode() + b" " + request.body)


async def slow_echo(request: Request) -> Response:
    await asyncio.sleep(0)
    return await echo(request)


@pytest.mark.parametrize("handler", [echo, slow_echo])
async def test_pipelined_requests_are_answered_in_order(serve, dial, handler):
    client = await dial(await serve(handler))
    client.send(b"".join(GET % b"/%d" % n for n in range(50)))
    targets = [
        (await client.head()).split("X-Target: ")[1].split("\r\n")[0] for n in range(50) if await skip(client, n)
    ]
    assert targets == [f"/{n}" for n in range(50)]


async def skip(client, n: int) -> bool:
    """The body of the answer before."""
    return n == 0 or await client.reader.readexactly(4) == b"GET "


async def test_a_chunked_body_arrives_whole_and_trailers_are_dropped(serve, dial):
    client = await dial(await serve(echo))
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    for part in (b"3\r\nab", b"c\r\n2\r", b"\nde\r\n0\r\nHost: evil\r\n", b"\r\n" + GET % b"/next"):
        client.send(part)
        await asyncio.sleep(0)
    assert await client.answer() == (200, b"POST abcde")
    assert await client.answer() == (200, b"GET ")


async def test_a_client_that_waits_for_continue_is_told_to_go_on(serve, dial):
    client = await dial(await serve(echo))
    client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert await client.head() == "HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"hi")
    assert await client.answer() == (200, b"PUT hi")


async def test_a_client_that_waits_with_a_body_that_is_too_large_is_refused_at_once(serve, dial):
    client = await dial(await serve(echo, limits=Limits(body_bytes_max=10)))
    client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n")
    assert (await client.answer())[0] == 413


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 300 + b"\r\n\r\n", 431),
        (b"GET /" + b"y" * 300 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n" + b"z" * 64 + b"\r\n0\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\nContent-Length: 1\r\n\r\n", 417),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"GET \xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ],
)
async def test_bad_requests_are_refused_after_the_good_ones_before_them(serve, dial, request_bytes, status):
    def on_error(status: int, message: str) -> Response:
        return Response(status, (), b"{}")

    limits = Limits(head_bytes_max=200, body_bytes_max=50)
    client = await dial(await serve(echo, limits=limits, on_error=on_error))
    client.send(GET % b"/good" + request_bytes)
    assert await client.answer() == (200, b"GET ")
    assert await client.answer() == (status, b"{}")
    assert await client.rest() == b""


async def test_an_endless_header_line_is_refused(serve, dial):
    client = await dial(await serve(echo, limits=Limits(head_bytes_max=1000)))
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
    for _ in range(40):
        client.send(b"y" * 100)
        await asyncio.sleep(0)
    assert (await client.answer())[0] == 431


async def test_a_handler_that_raises_answers_500_and_the_connection_lives(serve, dial, caplog):
    async def handler(request: Request) -> Response:
        if request.target == "/":
            raise KeyError("oops")
        return Response(200)

    client = await dial(await serve(handler))
    with caplog.at_level(logging.CRITICAL):
        client.send(GET % b"/" + GET % b"/x")
        assert (await client.answer())[0] == 500
    assert (await client.answer())[0] == 200


async def test_a_header_with_a_line_break_is_never_sent(serve, dial):
    async def handler(request: Request) -> Response:
        return Response(200, (("X", "a\r\nSet-Cookie: b"),))

    client = await dial(await serve(handler))
    client.send(GET % b"/")
    assert (await client.answer())[0] == 500


async def test_head_says_the_length_and_sends_no_body(serve, dial):
    client = await dial(await serve(echo))
    client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + GET % b"/")
    assert "Content-Length: 5\r\n" in await client.head()
    assert await client.answer() == (200, b"GET ")


async def test_streams_each_chunk_at_once_and_closes_the_iterator_when_the_peer_leaves(serve, dial):
    chunks: asyncio.Queue[bytes] = asyncio.Queue()
    closed = asyncio.Event()

    async def body():
        try:
            while True:
                yield await chunks.get()
        finally:
            closed.set()

    async def handler(request: Request) -> Response:
        return Response(200, (), body())

    client = await dial(await serve(handler))
    client.send(GET % b"/watch")
    assert "Transfer-Encoding: chunked" in await client.head()
    chunks.put_nowait(b"hello")
    assert await client.reader.readexactly(10) == b"5\r\nhello\r\n"
    await client.close()
    await asyncio.wait_for(closed.wait(), 5)


async def test_a_slow_reader_holds_the_iterator_back(serve, dial):
    made = 0
    closed = asyncio.Event()

    async def body():
        nonlocal made
        try:
            while True:
                made += 1
                yield b"x" * 100_000
        finally:
            closed.set()

    async def handler(request: Request) -> Response:
        return Response(200, (), body())

    server = await serve(handler)
    client = await dial(server)
    client.send(GET % b"/watch")
    await client.head()
    before = -1
    while made != before:  # until the kernel's buffers are full
        before = made
        await asyncio.sleep(0.05)
    assert made < 1000
    await client.close()
    await asyncio.wait_for(closed.wait(), 5)


async def test_a_large_body_reaches_a_slow_reader_whole(serve, dial):
    async def handler(request: Request) -> Response:
        return Response(200, (), bytes(range(256)) * 40_000)

    client = await dial(await serve(handler))
    client.send(GET % b"/" + GET % b"/")
    for _ in range(2):
        assert await client.answer() == (200, bytes(range(256)) * 40_000)


async def test_http_1_0_gets_no_chunks_and_the_connection_ends(serve, dial):
    async def body():
        yield b"one "
        yield b"two"

    async def handler(request: Request) -> Response:
        return Response(200, (), body())

    client = await dial(await serve(handler))
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    assert "chunked" not in await client.head()
    assert await client.rest() == b"one two"


async def test_an_upgrade_hands_over_the_bytes_that_came_with_it(serve, dial):
    async def takeover(stream) -> None:
        while data := await stream.read():
            await stream.write(data.upper())

    async def handler(request: Request) -> Response:
        return Response(101, (("Upgrade", "SPDY/3.1"),), takeover=takeover)

    client = await dial(await serve(handler))
    client.send(b"POST /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nearly")
    head = await client.head()
    assert head.startswith("HTTP/1.1 101 ")
    assert "Upgrade: SPDY/3.1\r\n" in head and "Connection: Upgrade\r\n" in head
    client.send(b" late")
    assert await client.reader.readexactly(10) == b"EARLY LATE"
    client.writer.write_eof()
    assert await client.rest() == b""


async def test_an_offered_upgrade_that_is_not_taken_is_plain_http(serve, dial):
    client = await dial(await serve(echo))
    client.send(
        b"POST /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc"
        + GET % b"/b"
    )
    assert await client.answer() == (200, b"POST abc")
    assert await client.answer() == (200, b"GET ")


class Attached:
    """A streaming body that sends through what it was attached to."""

    def attach(self, send):
        self.sent = send(b"pushed")

    async def __aiter__(self):
        yield b"read"


async def test_a_body_may_send_at_once(serve, dial):
    body = Attached()

    async def handler(request: Request) -> Response:
        return Response(200, (), body)

    client = await dial(await serve(handler))
    client.send(GET % b"/")
    await client.head()
    assert await client.reader.readexactly(25) == b"6\r\npushed\r\n4\r\nread\r\n0\r\n\r\n" and body.sent


async def test_drain_finishes_requests_ends_streams_and_closes_idle_connections(serve, dial):
    go, arrived = asyncio.Event(), asyncio.Event()

    async def forever():
        yield b"event"
        await asyncio.Event().wait()

    async def handler(request: Request) -> Response:
        if request.target == "/watch":
            return Response(200, (), forever())
        if request.target == "/slow":
            arrived.set()
            await go.wait()
        return Response(200, (), b"done")

    server = await serve(handler)
    idle, watcher, busy = [await dial(server) for _ in range(3)]
    idle.send(GET % b"/")
    await idle.answer()
    watcher.send(GET % b"/watch")
    await watcher.reader.readuntil(b"event\r\n")
    busy.send(GET % b"/slow")
    await arrived.wait()
    draining = asyncio.create_task(server.drain(5))
    assert await watcher.rest() == b"0\r\n\r\n"
    assert await idle.rest() == b""
    go.set()
    assert await busy.answer() == (200, b"done")
    assert await draining is True


async def test_late_requests_and_idle_connections_time_out(serve, dial):
    server = await serve(echo, limits=Limits(request_seconds=0.05, idle_seconds=0.05))
    idle, late = await dial(server), await dial(server)
    late.send(b"GET / HTTP/1.1\r\nHos")
    assert (await late.answer())[0] == 408
    assert await idle.rest() == b""


async def test_timeouts_and_task_groups_work_in_the_first_step_of_a_handler(serve, dial):
    async def handler(request: Request) -> Response:
        try:
            async with asyncio.timeout(0.01), asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(0))
                await asyncio.Event().wait()
        except TimeoutError:
            return Response(200, (), b"timed out")
        return Response(500)

    client = await dial(await serve(handler))
    client.send(GET % b"/")
    assert await client.answer() == (200, b"timed out")


async def test_a_handler_is_cancelled_when_its_client_resets(serve, dial):
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def handler(request: Request) -> Response:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return Response(200)

    client = await dial(await serve(handler))
    client.send(GET % b"/")
    await started.wait()
    connection = client.writer.transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.writer.transport.abort()
    await asyncio.wait_for(cancelled.wait(), 5)
