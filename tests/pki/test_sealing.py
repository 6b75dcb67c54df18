"""Sealed values open under their own name with a known key, and not otherwise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.pki import sealing
from tiphys.pki.sealing import PREFIX, SealBroken, Sealer

SEALER = Sealer([sealing.new_key()])


@given(st.binary(), st.binary())
def test_what_is_sealed_opens(name, value):
    assert SEALER.open(name, SEALER.seal(name, value)) == value


@given(st.integers(min_value=len(PREFIX), max_value=200), st.integers(1, 255))
def test_any_changed_byte_is_noticed(at, flip):
    sealed = bytearray(SEALER.seal(b"/a", b"x" * 200))
    sealed[at] ^= flip
    with pytest.raises(SealBroken):
        SEALER.open(b"/a", bytes(sealed))


def test_a_value_moved_to_another_name_does_not_open():
    with pytest.raises(SealBroken):
        SEALER.open(b"/b", SEALER.seal(b"/a", b"secret"))


@pytest.mark.parametrize("size", [len(PREFIX), 40, 53, 60])
def test_a_cut_value_does_not_open(size):
    with pytest.raises(SealBroken):
        SEALER.open(b"/a", SEALER.seal(b"/a", b"secret")[:size])


def test_plain_values_are_read_as_they_are():
    assert SEALER.open(b"/a", b'{"kind":"Secret"}') == b'{"kind":"Secret"}'


def test_equal_values_are_sealed_differently():
    assert SEALER.seal(b"/a", b"x") != SEALER.seal(b"/a", b"x")


def test_a_rotated_file_seals_with_the_new_key_and_opens_the_old(tmp_path):
    path = tmp_path / "keys"
    old = sealing.load_or_create(path)
    new = sealing.rotate(path)
    sealed = old.seal(b"/a", b"secret")
    assert new.open(b"/a", sealed) == b"secret"
    assert (new.is_current(sealed), new.is_current(new.seal(b"/a", b"x"))) == (False, True)
    with pytest.raises(SealBroken):
        old.open(b"/a", new.seal(b"/a", b"x"))
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_damaged_key_file_names_itself_and_not_its_content(tmp_path):
    path = tmp_path / "keys"
    path.write_text("0011223344556677 c2VjcmV0\n")
    with pytest.raises(ValueError) as caught:
        sealing.load_or_create(path)
    assert str(path) in str(caught.value) and "c2VjcmV0" not in str(caught.value)
