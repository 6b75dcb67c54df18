"""WebSocket: the handshake, messages, pings, closes, and channels over it."""

import asyncio
import base64

import pytest
from websockets.frames import Frame, Opcode

from stream_builders import pipe
from tiphys.wire import channels as channels_module
from tiphys.wire.channels import Channels
from tiphys.wire.link import ConnectionLost
from tiphys.wire.websocket import FRAME_BYTES_MAX, HandshakeRefused, WebSocket, WebSocketStream, accept

KEY = {"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-version": "13"}


@pytest.fixture
def both():
    left, right = pipe()
    return WebSocket(left, client=True), WebSocket(right)


async def says(raw, opcode, data, *, fin=True):
    await raw.write(Frame(opcode, data, fin=fin).serialize(mask=True, extensions=()))


def test_answers_the_handshake_of_the_standard():
    chosen, headers = accept(KEY, ("", "x"))
    assert (chosen, dict(headers)["Sec-WebSocket-Accept"]) == ("", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")


def test_takes_the_clients_first_protocol_that_is_spoken():
    offered = {**KEY, "sec-websocket-protocol": "v9, v5,v4"}
    assert accept(offered, ("v4", "v5"))[0] == "v5"
    assert ("Sec-WebSocket-Protocol", "v5") in accept(offered, ("v4", "v5"))[1]


@pytest.mark.parametrize(
    "headers", [{}, {**KEY, "sec-websocket-version": "8"}, {**KEY, "sec-websocket-protocol": "v9"}, KEY]
)
def test_refuses_what_it_does_not_speak(headers):
    with pytest.raises(HandshakeRefused):
        accept(headers, ("v4",))


async def test_messages_go_both_ways(both):
    client, server = both
    await client.send(b"ask")
    await server.send(b"answer", text=True)
    assert ((await server.receive()).data, (await client.receive()).data) == (b"ask", b"answer")


async def test_fragments_are_given_as_they_come():
    raw, end = pipe()
    socket = WebSocket(end)
    await says(raw, Opcode.BINARY, b"one", fin=False)
    await says(raw, Opcode.CONT, b"two")
    found = [await socket.receive(), await socket.receive()]
    assert [(f.data, f.begins, f.ends) for f in found] == [(b"one", True, False), (b"two", False, True)]


async def test_pings_are_answered_even_while_the_peer_reads_nothing():
    raw, end = pipe(limit=10)
    socket = WebSocket(end)
    writing = asyncio.ensure_future(socket.send(b"x" * 1000))
    talking = asyncio.gather(says(raw, Opcode.PING, b"p"), says(raw, Opcode.BINARY, b"go on"))
    assert (await asyncio.wait_for(socket.receive(), 5)).data == b"go on"
    await raw.read()
    await asyncio.gather(writing, talking)
    assert await asyncio.wait_for(raw.read(), 5) == b"\x8a\x01p"
    await raw.tear()
    await socket.close()


async def test_a_flood_of_pings_that_takes_no_pongs_ends_the_connection():
    raw, end = pipe(limit=10)
    socket = WebSocket(end)
    writing = asyncio.ensure_future(socket.send(b"x" * 1000))
    flooding = asyncio.gather(*(says(raw, Opcode.PING, b"p" * 100) for _ in range(1000)), return_exceptions=True)
    with pytest.raises(ConnectionLost, match="pings"):
        await asyncio.wait_for(socket.receive(), 5)
    for task in (writing, flooding):
        task.cancel()
    await asyncio.gather(writing, flooding, return_exceptions=True)
    await raw.tear()
    await socket.close()


async def test_a_close_is_answered_and_is_the_end(both):
    client, server = both
    closing = asyncio.ensure_future(client.close())
    assert await server.receive() is None
    await closing
    with pytest.raises(ConnectionLost):
        await server.send(b"late")


async def test_an_end_without_a_close_is_a_break(both):
    raw, end = pipe()
    await raw.close_output()
    with pytest.raises(ConnectionLost):
        await WebSocket(end).receive()


async def test_a_frame_that_is_too_large_breaks_the_connection():
    raw, end = pipe()
    await raw.write(b"\x82\xff" + (FRAME_BYTES_MAX + 1).to_bytes(8, "big") + b"mask")
    with pytest.raises(ConnectionLost):
        await WebSocket(end).receive()


async def test_closing_while_another_task_reads_waits_for_it(both):
    client, server = both
    reading = asyncio.ensure_future(server.receive())
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(server.close())
    assert await client.receive() is None
    assert await reading is None
    await closing


async def test_a_stream_over_it_has_bytes_and_no_messages(both):
    client, server = (WebSocketStream(socket) for socket in both)
    sending = asyncio.ensure_future(client.write(b"x" * 100_000))
    total = 0
    while total < 100_000:
        total += len(await server.read(1000))
    await sending
    closing = asyncio.ensure_future(client.close_output())
    assert (total, await server.read()) == (100_000, b"")
    await closing


async def test_a_ping_is_answered_and_fails_once_it_is_closed(both):
    client, server = both
    await client.ping()
    await server.send(b"x")
    assert (await client.receive()).data == b"x"
    closing = asyncio.ensure_future(client.close())
    assert await server.receive() is None
    await closing
    with pytest.raises(ConnectionLost):
        await client.ping()


# channels


@pytest.fixture
async def channels(both):
    """Channels 0 to 2 of the server's side, running."""
    tasks = []

    def make(**options):
        made = Channels(both[1], range(3), **options)
        tasks.append(asyncio.ensure_future(made.run()))
        return made

    yield make
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_first_byte_names_the_channel(both, channels):
    client, made = both[0], channels()
    await client.send(b"\0in")
    await client.send(b"\7nobody")
    await client.send(b"\2more")
    assert (await made[0].read(), await made[2].read()) == (b"in", b"more")
    await made[1].write(b"out")
    assert (await client.receive()).data == b"\1out"


async def test_base64_channels_are_text(both, channels):
    client, made = both[0], channels(base64_text=True)
    await client.send(b"0" + base64.b64encode(b"\xff\0"), text=True)
    assert await made[0].read() == b"\xff\0"
    await made[1].write(b"out")
    assert (await client.receive()).data == b"1b3V0"


async def test_what_is_no_base64_ends_the_connection(both, channels):
    made = channels(base64_text=True)
    await both[0].send(b"0!!", text=True)
    with pytest.raises(ConnectionLost, match="base64"):
        await made[0].read()


async def test_a_close_signal_ends_one_channel(both, channels):
    made = channels(close_signal=True)
    await both[0].send(b"\0last")
    await both[0].send(b"\xff\0")
    assert (await made[0].read(), await made[0].read()) == (b"last", b"")


async def test_a_message_in_pieces_stays_on_its_channel(channels, both):
    made = channels()
    raw = both[0]._stream
    await says(raw, Opcode.BINARY, b"\1one", fin=False)
    await says(raw, Opcode.CONT, b"\2two")
    assert (await made[1].read() + await made[1].read()) == b"one\2two"


async def test_a_channel_that_is_not_read_holds_the_peer_back(both, channels, monkeypatch):
    monkeypatch.setattr(channels_module, "UNREAD_BYTES_MAX", 1000)
    made = channels()

    async def flood():
        for _ in range(20):
            await both[0].send(b"\0" + b"x" * 10_000)

    flooding = asyncio.ensure_future(flood())
    await asyncio.sleep(0.02)
    assert not flooding.done()
    while not flooding.done():
        await made[0].read()
    await made[0].close()


async def test_the_peers_end_is_told_to_every_channel(both, channels):
    made = channels()
    await both[0]._stream.close_output()
    for number in range(3):
        with pytest.raises(ConnectionLost):
            await made[number].read()
