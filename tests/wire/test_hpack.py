"""Header blocks as any peer may write them: indexed, Huffman-coded, kept in the dynamic table."""

import pytest

from tiphys.wire.hpack import Decoder, HpackError, encode


def test_the_examples_of_the_standard_share_one_table():
    decoder = Decoder()
    blocks = [
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        "828684be5886a8eb10649cbf",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    ]
    found = [decoder.decode(bytes.fromhex(block)) for block in blocks]
    authority = (":authority", "www.example.com")
    assert found[0] == [(":method", "GET"), (":scheme", "http"), (":path", "/"), authority]
    assert found[1][-2:] == [authority, ("cache-control", "no-cache")]
    assert found[2][2:] == [(":path", "/index.html"), authority, ("custom-key", "custom-value")]


def test_a_table_that_is_full_forgets_the_oldest():
    decoder = Decoder()
    kept = [b"\x40\x01%c\x7f\xa1\x0f" % (97 + n) + b"v" * 2080 for n in range(2)]
    for block in kept:
        decoder.decode(block)
    assert decoder.decode(b"\xbe")[0][0] == "b"
    with pytest.raises(HpackError, match="no header with index 63"):
        decoder.decode(b"\xbf")


def test_what_is_written_is_read():
    headers = [(":path", "/a.B/C"), ("long", "x" * 1000), ("empty", "")]
    assert Decoder().decode(encode(headers)) == headers


@pytest.mark.parametrize("block", ["80", "ff", "4001", "008100", "3fe21f", "0083ffffff00", "00ffffffffffffff"])
def test_broken_blocks_are_refused(block):
    with pytest.raises(HpackError):
        Decoder().decode(bytes.fromhex(block))
