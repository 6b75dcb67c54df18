"""SPDY/3.1 frames, there and back, and what a broken peer can send."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tiphys.wire.spdy import (
    DICTIONARY,
    Data,
    Decoder,
    Encoder,
    GoAway,
    MoreHeaders,
    Ping,
    Reset,
    Settings,
    SpdyError,
    SynReply,
    SynStream,
    WindowUpdate,
)

HEADERS = [("streamtype", "data"), ("port", "80"), ("requestid", "0")]
FRAMES = [
    SynStream(1, HEADERS, fin=True, unidirectional=True, associated=3, priority=5),
    SynReply(1, [("a", "b")]),
    MoreHeaders(1, [("c", "d")], fin=True),
    Data(1, b"bytes", fin=True),
    Reset(1, 3),
    Settings({7: 65536}),
    Ping(2),
    GoAway(9, 1),
    WindowUpdate(0, 100),
]


def encoded(*frames):
    encoder = Encoder()
    return b"".join(encoder.encode(frame) for frame in frames)


def whole(frames):
    """Headers as lists, so that frames that were read compare with frames that were made."""
    return [(type(f), {s: _plain(getattr(f, s)) for s in f.__dataclass_fields__}) for f in frames]


def _plain(value):
    return list(value) if isinstance(value, list | tuple) else value


def test_the_dictionary_is_the_one_of_the_draft():
    assert (len(DICTIONARY), zlib.adler32(DICTIONARY)) == (1423, 0xE3C6A7C2)


def test_every_frame_comes_out_as_it_went_in():
    assert whole(Decoder().feed(encoded(*FRAMES))) == whole(FRAMES)


def test_frames_may_arrive_byte_by_byte():
    decoder, data = Decoder(), encoded(SynStream(1, HEADERS), Ping(1))
    found = [frame for byte in data for frame in decoder.feed(bytes((byte,)))]
    assert whole(found) == whole([SynStream(1, HEADERS), Ping(1)])


def test_long_data_comes_in_pieces_of_which_the_last_ends():
    decoder, data = Decoder(), encoded(Data(1, b"x" * 1000, fin=True))
    found = [*decoder.feed(data[:500]), *decoder.feed(data[500:])]
    assert [frame.fin for frame in found] == [False, True]
    assert b"".join(frame.data for frame in found) == b"x" * 1000


def test_empty_data_is_a_frame_too():
    assert list(Decoder().feed(encoded(Data(5, b"", fin=True)))) == [Data(5, b"", True)]


def test_header_blocks_share_one_context():
    encoder = Encoder()
    first, second = (len(encoder.encode(SynStream(number, HEADERS))) for number in (1, 3))
    assert second < first


def test_one_name_with_several_values_stays_several():
    pairs = [("a", "1"), ("A", "2")]
    assert next(iter(Decoder().feed(encoded(SynReply(1, pairs))))).headers == [("a", "1"), ("a", "2")]


def test_unknown_control_frames_are_skipped():
    credential = struct.pack("!HHI", 0x8003, 10, 2) + b"xx"
    assert list(Decoder().feed(credential + encoded(Ping(1)))) == [Ping(1)]


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("!HHI", 0x8002, 6, 4) + b"\0\0\0\1",  # another version
        struct.pack("!HHI", 0x8003, 6, 1 << 20),  # too long
        struct.pack("!HHI", 0x8003, 6, 2) + b"\0\0",  # cut
        struct.pack("!HHI", 0x8003, 4, 4) + b"\0\0\0\2",  # fewer settings than it says
        struct.pack("!HHI", 0x8003, 2, 8) + b"\0\0\0\1junk",  # headers that do not decompress
    ],
)
def test_a_broken_frame_is_an_error(data):
    with pytest.raises(SpdyError):
        list(Decoder().feed(data))


def test_a_header_bomb_is_an_error():
    packer = zlib.compressobj(zdict=DICTIONARY)
    block = packer.compress(b"\0" * (2 << 20)) + packer.flush(zlib.Z_SYNC_FLUSH)
    with pytest.raises(SpdyError, match="too large"):
        list(Decoder().feed(struct.pack("!HHI", 0x8003, 2, 4 + len(block)) + b"\0\0\0\1" + block))


@given(some.binary(max_size=200))
def test_any_bytes_are_frames_or_an_error(data):
    try:
        assert isinstance(list(Decoder().feed(data)), list)
    except SpdyError as broken:
        assert str(broken)
