"""exec, attach and port-forward in each protocol, against real sockets, by clients that say just what the test says."""

import asyncio
import base64
import dataclasses
import os
import struct

import orjson
import pytest

from tiphys.aio import virtual
from tiphys.node.server.activity import Activity
from tiphys.wire.link import ConnectionLost
from tiphys.wire.messages import Request
from tiphys.wire.pool import HttpPool
from tiphys.wire.spdy_session import SpdySession
from tiphys.wire.websocket import WebSocket, WebSocketStream

KEY = {"upgrade": "websocket", "sec-websocket-key": "x", "sec-websocket-version": "13"}
SHELL = "command=sh&command=-c&command="


@pytest.fixture
async def upgrade(node):
    """The raw stream of an upgraded connection to the node."""
    pool = HttpPool(f"http://127.0.0.1:{node.port}")

    async def ask(target, headers):
        response = await pool(Request("POST", target, headers))
        assert response.status == 101, response.body
        return response.stream

    yield ask
    await pool.close()


@pytest.fixture
async def websocket(upgrade):
    """`await websocket(target, protocol)`: a client's side."""
    sockets = []

    async def connect(target, protocol=""):
        offer = {"sec-websocket-protocol": protocol} if protocol else {}
        sockets.append(WebSocket(await upgrade(target, KEY | offer), client=True))
        return sockets[-1]

    yield connect
    for socket in sockets:
        await socket.close()


@pytest.fixture
async def spdy(upgrade):
    """`await spdy(target, protocol)`: a client's running session."""
    tasks = []

    async def connect(target, protocol):
        headers = {"upgrade": "SPDY/3.1", "x-stream-protocol-version": protocol}
        session = SpdySession(await upgrade(target, headers), client=True)
        tasks.append(asyncio.ensure_future(session.run()))
        return session

    yield connect
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def everything(stream):
    data = b""
    while more := await asyncio.wait_for(stream.read(), 10):
        data += more
    return data


async def messages(socket):
    """All messages until the close, by channel."""
    found = {}
    while (fragment := await asyncio.wait_for(socket.receive(), 10)) is not None:
        number = fragment.data[0]
        found[number] = found.get(number, b"") + fragment.data[1:]
    return found


# exec over WebSocket


async def test_websocket_v4_as_the_python_client_speaks_it(websocket):
    socket = await websocket(
        f"/exec/shop/web/c?input=1&output=1&error=1&{SHELL}read%20x;echo%20$x;echo%20e>%262;exit%203",
        "v4.channel.k8s.io",
    )
    await socket.send(b"\0hi\n")
    found = await messages(socket)
    status = orjson.loads(found[3])
    assert (found[1], found[2]) == (b"hi\n", b"e\n")
    assert (status["reason"], status["details"]["causes"][0]["message"]) == ("NonZeroExitCode", "3")


async def test_websocket_v5_ends_the_input(websocket):
    socket = await websocket("/exec/shop/web/c?input=1&output=1&command=cat", "v5.channel.k8s.io")
    await socket.send(b"\0all")
    await socket.send(b"\xff\0")
    found = await messages(socket)
    assert (found[1], orjson.loads(found[3])["status"]) == (b"all", "Success")


async def test_websocket_tells_at_once_that_it_is_there(websocket):
    socket = await websocket("/exec/shop/web/c?input=1&output=1&command=cat", "v4.channel.k8s.io")
    assert (await asyncio.wait_for(socket.receive(), 5)).data == b"\1"


async def test_base64_websocket(websocket):
    socket = await websocket("/exec/shop/web/c?output=1&command=echo&command=hi", "v4.base64.channel.k8s.io")
    found = await messages(socket)
    assert base64.b64decode(found[ord("1")]) == b"hi\n"
    assert orjson.loads(base64.b64decode(found[ord("3")]))["status"] == "Success"


async def test_websocket_without_a_version_gets_plain_errors(websocket):
    assert 3 not in await messages(await websocket("/exec/shop/web/c?output=1&command=true"))
    found = await messages(await websocket("/exec/shop/web/c?output=1&command=false"))
    assert found[3] == b"command terminated with non-zero exit code: exit status 1"


async def test_sizes_reach_the_terminal(websocket, runtime):
    socket = await websocket("/exec/shop/web/c?input=1&output=1&tty=1&command=cat", "v5.channel.k8s.io")
    await socket.send(b'\4{"Width":80,"Height":24}{"Width":100,')
    await socket.send(b'\4"Height":30}')
    await socket.send(b'\4{"Width":-1,"Height":"x"}')
    await socket.send(b"\0done")
    await socket.send(b"\xff\0")
    await messages(socket)
    assert runtime.processes[0].sizes == [(80, 24), (100, 30)]


async def test_a_client_that_does_not_read_makes_the_process_wait(websocket, runtime):
    socket = await websocket("/exec/shop/web/c?output=1&command=yes", "v4.channel.k8s.io")
    await asyncio.sleep(0.3)
    assert runtime.processes[0].chunks.full()
    await socket._stream.close()
    await asyncio.wait_for(runtime.processes[0].wait(), 10)


async def test_input_that_nobody_takes_does_not_block_the_end(websocket):
    socket = await websocket(
        f"/exec/shop/web/c?input=1&output=1&{SHELL}exec%200<%26-;sleep%200.2;echo%20ok", "v4.channel.k8s.io"
    )
    for _ in range(30):
        await socket.send(b"\0" + b"x" * 32_000)
    assert (await messages(socket))[1] == b"ok\n"


async def test_output_held_open_by_a_child_is_not_waited_for(websocket):
    socket = await websocket(f"/exec/shop/web/c?output=1&{SHELL}sleep%2030%20%26%20echo%20ok", "v4.channel.k8s.io")
    assert (await asyncio.wait_for(messages(socket), 5))[1] == b"ok\n"


async def test_a_command_that_cannot_start_is_an_error_on_the_error_channel(websocket, runtime):
    from tiphys.runtime.door import StartFailed

    async def execute(*_, **__):
        raise StartFailed("no such program")

    runtime.execute = execute
    found = await messages(await websocket("/exec/shop/web/c?output=1&command=x", "v4.channel.k8s.io"))
    status = orjson.loads(found[3])
    expected = "Internal error occurred: error executing command in container: no such program"
    assert (status["code"], status["message"]) == (500, expected)


async def test_an_exec_without_data_ends_when_its_time_is_over(websocket, node, runtime):
    node.inner._limits = dataclasses.replace(node.inner._limits, idle_seconds=0.2)
    socket = await websocket("/exec/shop/web/c?output=1&command=sleep&command=30", "v4.channel.k8s.io")
    found = await messages(socket)
    assert "no data for" in orjson.loads(found[3])["message"]
    await asyncio.wait_for(runtime.processes[0].wait(), 5)
    assert runtime.processes[0].killed and runtime.processes[0].closed


def test_activity_puts_the_end_off():
    async def main():
        activity, loop = Activity(), asyncio.get_running_loop()
        idle = asyncio.ensure_future(activity.idle(10.0))
        for _ in range(5):
            await asyncio.sleep(4.0)
            activity.touch()
        await idle
        return loop.time()

    assert virtual.run(main()) == 30.0


async def test_an_attached_container_outlives_its_client(websocket, runtime):
    socket = await websocket("/attach/shop/web/c?input=1&output=1", "v5.channel.k8s.io")
    await socket.send(b"\0hi")
    fragment = await socket.receive()
    while fragment.data != b"\1hi":
        fragment = await asyncio.wait_for(socket.receive(), 5)
    await socket.close()
    await asyncio.sleep(0.1)
    process = runtime.processes[0]
    assert (process.program.returncode, process.killed, process.closed) == (None, False, True)


# exec over SPDY


async def opened(session, *names):
    return {name: await session.open([("streamtype", name)]) for name in names}


async def test_spdy_v1_gets_plain_errors(spdy):
    session = await spdy("/exec/shop/web/c?output=1&command=false", "channel.k8s.io")
    streams = await opened(session, "error", "stdout")
    assert await everything(streams["error"]) == b"command terminated with non-zero exit code: exit status 1"


async def test_spdy_v4_with_input_and_sizes(spdy, runtime):
    session = await spdy("/exec/shop/web/c?input=1&output=1&error=1&tty=1&command=cat", "v4.channel.k8s.io")
    streams = await opened(session, "error", "stdin", "stdout", "resize")
    await streams["resize"].write(b'{"Width":80,"Height":24}\n')
    await streams["stdin"].write(b"hi")
    await streams["stdin"].close_output()
    assert await everything(streams["stdout"]) == b"hi"
    assert orjson.loads(await everything(streams["error"]))["status"] == "Success"
    assert runtime.processes[0].sizes == [(80, 24)]


async def test_spdy_streams_that_never_come_end_the_connection(spdy, node, runtime):
    node.inner._limits = dataclasses.replace(node.inner._limits, streams_seconds=0.1)
    session = await spdy("/exec/shop/web/c?output=1&command=id", "v4.channel.k8s.io")
    error = (await opened(session, "error"))["error"]
    with pytest.raises(ConnectionLost):
        await asyncio.wait_for(error.read(), 5)
    assert runtime.processes == []


# port-forward


@pytest.fixture
async def echo():
    async def answer(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def forwarded(session, port, identifier="0"):
    common = [("port", str(port)), *([("requestid", identifier)] if identifier else [])]
    error = await session.open([("streamtype", "error"), *common])
    await error.close_output()
    return await session.open([("streamtype", "data"), *common]), error


@pytest.mark.parametrize("identifier", ["0", ""])
async def test_spdy_port_forward(spdy, echo, identifier):
    data, error = await forwarded(await spdy("/portForward/shop/web", "portforward.k8s.io"), echo, identifier)
    text = os.urandom(100_000)
    await data.write(text)
    await data.close_output()
    assert (await everything(data), await everything(error)) == (text, b"")


async def test_a_port_where_nobody_listens_is_told_on_the_error_stream(spdy):
    session = await spdy("/portForward/shop/web", "portforward.k8s.io")
    _, error = await forwarded(session, 1)
    assert b"error forwarding port 1 to pod shop/web" in await everything(error)
    _, error = await forwarded(session, "x", "1")
    assert b"is not a port" in await everything(error)


async def test_one_client_that_resets_a_connection_disturbs_no_other(spdy, echo):
    session = await spdy("/portForward/shop/web", "portforward.k8s.io")
    first, _ = await forwarded(session, echo, "0")
    second, _ = await forwarded(session, echo, "1")
    await first.write(b"x")
    await first.close()
    await second.write(b"y")
    await second.close_output()
    assert await everything(second) == b"y"


async def test_a_stream_whose_partner_never_comes_is_ended(spdy, node):
    node.inner._limits = dataclasses.replace(node.inner._limits, streams_seconds=0.1)
    session = await spdy("/portForward/shop/web", "portforward.k8s.io")
    data = await session.open([("streamtype", "data"), ("port", "80"), ("requestid", "0")])
    with pytest.raises(ConnectionLost):
        await asyncio.wait_for(data.read(), 5)


async def test_spdy_tunnelled_in_a_websocket(upgrade, echo):
    offer = {"sec-websocket-protocol": "SPDY/3.1+portforward.k8s.io"}
    tunnel = WebSocketStream(WebSocket(await upgrade("/portForward/shop/web", KEY | offer), client=True))
    session = SpdySession(tunnel, client=True)
    running = asyncio.ensure_future(session.run())
    data, _ = await forwarded(session, echo)
    await data.write(b"through")
    await data.close_output()
    assert await everything(data) == b"through"
    await session.close()
    await asyncio.wait_for(running, 10)


@pytest.mark.parametrize("protocol", ["v4.channel.k8s.io", "portforward.k8s.io", ""])
async def test_port_forward_over_websocket_channels(websocket, echo, protocol):
    socket = await websocket(f"/portForward/shop/web?port={echo}&port=1", protocol)
    heads = sorted([(await socket.receive()).data for _ in range(4)])
    assert heads == [bytes((n,)) + struct.pack("<H", echo if n < 2 else 1) for n in range(4)]
    await socket.send(b"\0hello")
    found = {}
    while len(found) < 2:
        data = (await asyncio.wait_for(socket.receive(), 5)).data
        found[data[0]] = data[1:]
    assert found[0] == b"hello" and b"error forwarding port 1" in found[3]
