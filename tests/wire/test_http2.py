"""HTTP/2 between two sides without a socket: windows, long headers, and what a broken peer can send."""

import struct

import pytest

from tiphys.wire import http2
from tiphys.wire.http2 import Connection, Data, Headers, Http2Error, Reset, frame


def pair():
    client, server = Connection(is_client=True), Connection(is_client=False)
    exchange(client, server)
    return client, server


def exchange(*sides):
    """Carry bytes both ways until nobody has any; what each side was told."""
    told = ([], [])
    while any(moved := [side.take() for side in sides]):
        for number, data in enumerate(moved):
            told[1 - number].extend(sides[1 - number].receive(data))
    return told


def test_a_call_goes_there_and_back():
    client, server = pair()
    stream = client.open([(":path", "/x")])
    client.send_data(stream, b"hi", ends=True)
    _, heard = exchange(client, server)
    assert heard == [Headers(1, [(":path", "/x")], False), Data(1, b"hi", True)]
    server.send_headers(1, [(":status", "200")])
    server.send_data(1, b"yo")
    server.send_headers(1, [("grpc-status", "0")], ends=True)
    assert [event.ends for event in exchange(client, server)[0]] == [False, False, True]


def test_more_than_the_window_waits_for_it_and_trailers_wait_for_the_data():
    client, server = pair()
    client.open([(":path", "/x")])
    exchange(client, server)
    server.send_data(1, b"z" * 100_000)
    server.send_headers(1, [("grpc-status", "0")], ends=True)
    assert server.unsent_bytes(1) == 100_000 - http2.WINDOW_BYTES
    heard, _ = exchange(client, server)
    assert sum(len(event.data) for event in heard[:-1]) == 100_000 and heard[-1].headers == [("grpc-status", "0")]


def test_long_headers_come_in_several_frames():
    client, server = pair()
    client.open([("long", "x" * 40_000)])
    assert exchange(client, server)[1] == [Headers(1, [("long", "x" * 40_000)], False)]


def test_bytes_may_come_one_by_one_with_padding_and_priority():
    block = b"\x00\x01a\x01b"
    padded = frame(
        http2.HEADERS, http2.END_HEADERS | http2.PADDED | http2.HAS_PRIORITY, 1, b"\x02xxxxx" + block + b".."
    )
    server = Connection(is_client=False)
    sent = http2.PREFACE + padded + frame(http2.RST_STREAM, 0, 1, struct.pack(">I", 8))
    found = [event for byte in sent for event in server.receive(bytes((byte,)))]
    assert found == [Headers(1, [("a", "b")], False), Reset(1, 8)]


def test_pings_and_settings_are_answered():
    client, _ = pair()
    list(client.receive(frame(http2.PING, 0, 0, b"12345678") + frame(http2.SETTINGS, 0, 0, struct.pack(">HI", 4, 9))))
    assert client.take() == frame(http2.PING, http2.ACK, 0, b"12345678") + frame(http2.SETTINGS, http2.ACK, 0)


BROKEN = [
    b"HTTP/1.1 400 Bad Request\r\n",
    frame(http2.CONTINUATION, 0, 1, b""),
    frame(http2.HEADERS, 0, 1, b"") + frame(http2.DATA, 0, 1, b""),
    frame(http2.HEADERS, http2.END_HEADERS, 1, b"\x80"),
    frame(http2.DATA, http2.PADDED, 1, b"\x05"),
    frame(http2.SETTINGS, 0, 0, b"12345"),
    frame(http2.PUSH_PROMISE, 0, 1, b""),
]


@pytest.mark.parametrize("data", BROKEN, ids=range(len(BROKEN)))
def test_a_peer_that_breaks_the_rules_loses_the_connection(data):
    with pytest.raises(Http2Error):
        list(Connection(is_client=True).receive(data))
