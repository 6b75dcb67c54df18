"""Messages by a table: there and back, zeros, and bytes of others."""

import pytest

from tiphys.wire.protobuf import ProtobufError, Table

TABLE = Table("""
Whole
  1 name string
  2 labels map
  3 parts *Part
  4 size int64
  5 is_set bool
  6 raw bytes
  7 numbers *int32
  9 other Part
Part
  1 id string
""")
FULL = {
    "name": "ö",
    "labels": {"a": "1", "b": ""},
    "parts": [{"id": "x"}, {"id": ""}],
    "size": -5,
    "is_set": True,
    "raw": b"\x00\xff",
    "numbers": [1, 300],
    "other": {"id": ""},
}


def test_a_message_comes_out_as_it_went_in():
    assert TABLE.decode("Whole", TABLE.encode("Whole", FULL)) == FULL


def test_zeros_are_not_sent_and_always_read():
    zero = {"name": "", "labels": {}, "parts": [], "size": 0, "is_set": False, "raw": b"", "numbers": []}
    assert TABLE.encode("Whole", zero) == b""
    assert TABLE.decode("Whole", b"") == {**zero, "other": None}


def test_the_bytes_are_those_of_every_implementation():
    assert TABLE.encode("Whole", {"name": "ab", "size": 300, "labels": {"k": "v"}}).hex() == (
        "0a02" + b"ab".hex() + "20ac02" + "1206" + "0a01" + b"k".hex() + "1201" + b"v".hex()
    )


def test_unknown_fields_are_skipped_and_packed_numbers_read():
    extra = b"\x7a\x01x" + b"\x81\x01" + b"8" * 8 + b"\x85\x01" + b"4444" + b"\x3a\x03\x01\xac\x02"
    assert TABLE.decode("Whole", extra)["numbers"] == [1, 300]


@pytest.mark.parametrize(
    "data", [b"\x0a", b"\x0a\x05ab", b"\x0a\x01\xff", b"\x08\x01", b"\x22\x01a", b"\x20\xff", b"\x0b"]
)
def test_what_is_no_message_is_refused(data):
    with pytest.raises(ProtobufError):
        TABLE.decode("Whole", data)


def test_a_field_that_does_not_exist_is_our_mistake():
    with pytest.raises(KeyError):
        TABLE.encode("Whole", {"nmae": "x"})
