"""
HPACK, the header compression of HTTP/2 (RFC 7541): everything can be read, only plain literals are written.

A peer chooses how it writes: indexed, Huffman-coded, into its dynamic table; all of that is understood. What we write
is read by few and short, so it costs no table.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

Header = tuple[str, str]

TABLE_BYTES = 4096
# What each entry counts beside its text (RFC 7541, 4.1).
ENTRY_BYTES = 32
# What a block may become once it is unpacked.
HEADERS_BYTES_MAX = 64 * 1024

_STATIC_TEXT = """
:authority= :method=GET :method=POST :path=/ :path=/index.html :scheme=http :scheme=https :status=200 :status=204
:status=206 :status=304 :status=400 :status=404 :status=500 accept-charset= accept-encoding=gzip,_deflate
accept-language= accept-ranges= accept= access-control-allow-origin= age= allow= authorization= cache-control=
content-disposition= content-encoding= content-language= content-length= content-location= content-range= content-type=
cookie= date= etag= expect= expires= from= host= if-match= if-modified-since= if-none-match= if-range=
if-unmodified-since= last-modified= link= location= max-forwards= proxy-authenticate= proxy-authorization= range=
referer= refresh= retry-after= server= set-cookie= strict-transport-security= transfer-encoding= user-agent= vary= via=
www-authenticate=
"""
_STATIC: list[Header] = [
    (name, value.replace("_", " ")) for name, _, value in (entry.partition("=") for entry in _STATIC_TEXT.split())
]
# The code is canonical: lengths alone tell it. One letter a symbol, "a" is 5 bits; the last is the end of the text.
_LENGTHS = (
    "isxxxxxxxtzxxzxxxxxxxxzxxxxxxxxxbffhibdgffdgdbbbaaabbbbbbbcdkbhfibcccccccccccccccccccc"
    "ccdcdioijbkabababbbaccbbbabcbaabccccckgjixprpprrrsrssssststtrstssssqrsrsstrqprrssqsrrt"
    "qrssqqrqsrssprrrsrrsvvporsruvvvwwvtuoqvwwvwtqqvvxwwwptpqrqqsrruuttvsvwvvwwwwwxwwwwwvz"
)


class HpackError(ValueError):
    """The bytes are no header block; the connection cannot go on, since both sides must share one table."""


def _codes() -> dict[tuple[int, int], int]:
    """(bits, code) → symbol."""
    bits = [ord(letter) - ord("a") + 5 for letter in _LENGTHS]
    found, code, before = {}, 0, 0
    for symbol in sorted(range(len(bits)), key=lambda one: (bits[one], one)):
        code <<= bits[symbol] - before
        before = bits[symbol]
        found[before, code] = symbol
        code += 1
    return found


_SYMBOLS = _codes()
_BITS_MAX = 30
_END_OF_TEXT = 256


class Decoder:
    """The header blocks of one direction of one connection, in their order."""

    def __init__(self) -> None:
        self._dynamic: deque[Header] = deque()
        self._bytes = 0
        self._bytes_max = TABLE_BYTES

    def decode(self, block: bytes) -> list[Header]:
        found: list[Header] = []
        at = total = 0
        while at < len(block):
            first = block[at]
            if first & 0x80:
                index, at = _integer(block, at, 7)
                header = self._entry(index)
            elif first & 0xE0 == 0x20:
                self._bytes_max, at = _integer(block, at, 5)
                if self._bytes_max > TABLE_BYTES:
                    raise HpackError("the header table is larger than was agreed")
                self._evict()
                continue
            else:
                header, at = self._literal(block, at)
            total += len(header[0]) + len(header[1]) + ENTRY_BYTES
            if total > HEADERS_BYTES_MAX:
                raise HpackError(f"headers of more than {HEADERS_BYTES_MAX} bytes")
            found.append(header)
        return found

    def _literal(self, block: bytes, at: int) -> tuple[Header, int]:
        is_kept = bool(block[at] & 0x40)
        index, at = _integer(block, at, 6 if is_kept else 4)
        if index:
            name = self._entry(index)[0]
        else:
            name, at = _text(block, at)
        value, at = _text(block, at)
        if is_kept:
            self._dynamic.appendleft((name, value))
            self._bytes += _size((name, value))
            self._evict()
        return (name, value), at

    def _entry(self, index: int) -> Header:
        if 0 < index <= len(_STATIC):
            return _STATIC[index - 1]
        place = index - len(_STATIC) - 1
        if not 0 <= place < len(self._dynamic):
            raise HpackError(f"no header with index {index}")
        return self._dynamic[place]

    def _evict(self) -> None:
        while self._bytes > self._bytes_max:
            self._bytes -= _size(self._dynamic.pop())


def encode(headers: Iterable[Header]) -> bytes:
    """Literals that enter no table."""
    return b"".join(b"\x00" + _plain(name) + _plain(value) for name, value in headers)


def _plain(text: str) -> bytes:
    data = text.encode("latin-1", "replace")
    if len(data) < 127:
        return bytes((len(data),)) + data
    length, out = len(data) - 127, bytearray(b"\x7f")
    while length > 127:
        out.append(length & 127 | 128)
        length >>= 7
    return bytes(out) + bytes((length,)) + data


def _size(header: Header) -> int:
    return len(header[0]) + len(header[1]) + ENTRY_BYTES


def _integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    """A number whose first byte has `bits` bits of it."""
    most = (1 << bits) - 1
    number = block[at] & most
    at += 1
    if number < most:
        return number, at
    for shift in range(0, 28, 7):
        if at >= len(block):
            break
        byte = block[at]
        at += 1
        number += (byte & 127) << shift
        if byte < 128:
            return number, at
    raise HpackError("a number without an end")


def _text(block: bytes, at: int) -> tuple[str, int]:
    if at >= len(block):
        raise HpackError("a header without its text")
    is_coded = bool(block[at] & 0x80)
    length, at = _integer(block, at, 7)
    data = block[at : at + length]
    if len(data) < length:
        raise HpackError("a header's text is cut off")
    return (_huffman(data) if is_coded else data).decode("latin-1"), at + length


def _huffman(data: bytes) -> bytes:
    out = bytearray()
    code = bits = 0
    for byte in data:
        for shift in range(7, -1, -1):
            code, bits = code << 1 | byte >> shift & 1, bits + 1
            symbol = _SYMBOLS.get((bits, code))
            if symbol is not None and symbol != _END_OF_TEXT:
                out.append(symbol)
                code = bits = 0
            elif bits > _BITS_MAX or symbol == _END_OF_TEXT:
                raise HpackError("a code that stands for nothing")
    if bits > 7 or code != (1 << bits) - 1:
        raise HpackError("a coded text that does not end")
    return bytes(out)
