"""Streams over a session: opening, flow control, endings, and peers that misbehave."""

import asyncio

import pytest

from stream_builders import pipe
from tiphys.wire import spdy_session
from tiphys.wire.link import ConnectionLost
from tiphys.wire.spdy import Data, Decoder, Encoder, GoAway, Ping, Reset, Settings, SynReply, SynStream, WindowUpdate
from tiphys.wire.spdy_session import SpdySession, StreamReset

HEADERS = [("streamtype", "data")]


class Peer:
    """The raw other side: it says frames and reads frames."""

    def __init__(self, raw):
        self.raw, self.encoder, self.decoder, self.frames = raw, Encoder(), Decoder(), []

    async def say(self, *frames):
        await self.raw.write(b"".join(self.encoder.encode(frame) for frame in frames))

    async def hear(self, kind):
        """The next frame of that kind."""
        while True:
            for index, frame in enumerate(self.frames):
                if isinstance(frame, kind):
                    return self.frames.pop(index)
            data = await asyncio.wait_for(self.raw.read(), 5)
            assert data, "the session has ended"
            self.frames += self.decoder.feed(data)


@pytest.fixture
async def running():
    """`running(session)` runs it until the test ends."""
    tasks = []

    def run(session):
        tasks.append(asyncio.ensure_future(session.run()))
        return session

    yield run
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def both(running):
    left, right = pipe()
    return running(SpdySession(left, client=True)), running(SpdySession(right, client=False))


@pytest.fixture
def raw(running):
    """A server session and its raw peer."""
    left, right = pipe()
    return running(SpdySession(right, client=False)), Peer(left)


async def test_streams_carry_headers_and_bytes_both_ways(both):
    client, server = both
    ours = await client.open(HEADERS)
    theirs = await server.accept()
    await ours.write(b"ask")
    await theirs.write(b"answer")
    assert theirs.headers == {"streamtype": "data"}
    assert (await theirs.read(), await ours.read()) == (b"ask", b"answer")


async def test_an_end_of_output_leaves_the_other_direction_open(both):
    client, server = both
    ours = await client.open(HEADERS)
    theirs = await server.accept()
    await ours.close_output()
    assert await theirs.read() == b""
    await theirs.write(b"late")
    await theirs.close_output()
    assert (await ours.read(), await ours.read()) == (b"late", b"")


async def test_much_data_on_many_streams_arrives_whole(both):
    client, server = both
    sizes = [300_000 + number for number in range(5)]

    async def send(size):
        stream = await client.open([("size", str(size))])
        await stream.write(b"x" * size)
        await stream.close_output()

    async def receive():
        stream, total = await server.accept(), 0
        while data := await stream.read():
            total += len(data)
        return total

    results = await asyncio.gather(*(receive() for _ in sizes), *(send(size) for size in sizes))
    assert sorted(results[:5]) == sizes


async def test_a_writer_waits_for_the_peers_window(raw):
    session, peer = raw
    await peer.say(Settings({7: 10}), SynStream(1, HEADERS))
    stream = await session.accept()
    writing = asyncio.ensure_future(stream.write(b"x" * 25))
    assert len((await peer.hear(Data)).data) == 10
    await peer.say(WindowUpdate(1, 100))
    assert len((await peer.hear(Data)).data) == 15
    await writing


async def test_a_peer_that_keeps_no_windows_is_not_held_back(raw):
    session, peer = raw
    await peer.say(SynStream(1, HEADERS))
    stream = await session.accept()
    writing = asyncio.ensure_future(stream.write(b"x" * 200_000))
    total = 0
    while total < 200_000:
        total += len((await peer.hear(Data)).data)
    await writing


async def test_a_reader_that_falls_behind_stops_the_connection(raw, monkeypatch):
    monkeypatch.setattr(spdy_session, "UNREAD_BYTES_MAX", 1000)
    session, peer = raw
    await peer.say(SynStream(1, HEADERS))
    stream = await session.accept()
    flooding = asyncio.ensure_future(peer.say(*[Data(1, b"x" * 10_000)] * 20))
    await asyncio.sleep(0.02)
    assert not flooding.done() and stream.unread < 100_000
    while not flooding.done():
        await stream.read()
    await flooding


async def test_what_was_read_widens_the_peers_window(raw):
    session, peer = raw
    await peer.say(SynStream(1, HEADERS), *[Data(1, b"x" * 32768)] * 4)
    stream = await session.accept()
    total = 0
    while total < 4 * 32768:
        total += len(await stream.read())
    updates = {(await peer.hear(WindowUpdate)).stream_id for _ in range(3)}
    assert updates == {0, 1}


async def test_a_reset_ends_one_stream_and_no_other(raw):
    session, peer = raw
    await peer.say(SynStream(1, HEADERS), SynStream(3, HEADERS), Reset(1), Data(3, b"on"))
    first, second = await session.accept(), await session.accept()
    with pytest.raises(StreamReset):
        await first.read()
    with pytest.raises(StreamReset):
        await first.write(b"x")
    assert await second.read() == b"on"


async def test_closing_a_stream_that_still_sends_tells_the_peer(raw):
    session, peer = raw
    await peer.say(SynStream(1, HEADERS))
    await (await session.accept()).close()
    assert (await peer.hear(Reset)).stream_id == 1


async def test_pings_are_answered_while_a_writer_waits(raw):
    session, peer = raw
    await peer.say(Settings({7: 0}), SynStream(1, HEADERS))
    stream = await session.accept()
    writing = asyncio.ensure_future(stream.write(b"x"))
    await peer.say(Ping(9))
    assert await peer.hear(Ping) == Ping(9)
    writing.cancel()


async def test_the_reply_comes_before_the_data(raw):
    session, peer = raw
    await peer.say(SynStream(1, HEADERS))
    await (await session.accept()).write(b"x")
    await peer.hear(SynReply)
    assert (await peer.hear(Data)).data == b"x"


async def test_the_end_of_the_connection_ends_everything(raw):
    session, peer = raw
    await peer.say(SynStream(1, HEADERS))
    stream = await session.accept()
    await peer.raw.tear()
    with pytest.raises(ConnectionLost):
        await stream.read()
    assert await session.accept() is None
    with pytest.raises(ConnectionLost):
        await session.open(HEADERS)


@pytest.mark.parametrize("frame", [SynStream(2, HEADERS), SynStream(1, HEADERS)], ids=["even", "used"])
async def test_a_stream_that_is_not_the_peers_next_breaks_the_session(raw, frame):
    session, peer = raw
    await peer.say(SynStream(1, HEADERS), frame)
    assert await session.accept() is not None
    assert await asyncio.wait_for(session.accept(), 5) is None


async def test_too_many_streams_are_refused(raw, monkeypatch):
    monkeypatch.setattr(spdy_session, "STREAMS_MAX", 1)
    _, peer = raw
    await peer.say(SynStream(1, HEADERS), SynStream(3, HEADERS))
    assert await peer.hear(Reset) == Reset(3, 3)


async def test_streams_that_are_reset_before_anybody_takes_them_count_too(raw, monkeypatch):
    monkeypatch.setattr(spdy_session, "STREAMS_MAX", 2)
    _, peer = raw
    await peer.say(*[frame for number in (1, 3, 5) for frame in (SynStream(number, HEADERS), Reset(number))])
    assert await peer.hear(Reset) == Reset(5, 3)


async def test_a_peer_that_goes_away_takes_no_new_streams(both):
    client, server = both
    stream = await client.open(HEADERS)
    await (await server.accept()).close_output()
    await server.send(GoAway(1))
    assert await stream.read() == b""
    with pytest.raises(ConnectionLost):
        for _ in range(10):
            await client.open(HEADERS)
            await asyncio.sleep(0)


async def test_closing_says_so(raw):
    session, peer = raw
    await session.close()
    assert isinstance(await peer.hear(GoAway), GoAway)


async def test_a_ping_of_ours_is_not_taken_for_the_peers(both):
    client, server = both
    await client.ping()
    await server.ping()
    stream = await client.open(HEADERS)
    await (await server.accept()).write(b"still here")
    assert await stream.read() == b"still here"


async def test_a_ping_to_nobody_fails(raw):
    session, peer = raw
    await peer.raw.tear()
    with pytest.raises(ConnectionLost):
        await session.ping()
