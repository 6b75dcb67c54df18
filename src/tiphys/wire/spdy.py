"""
SPDY/3.1 frames: bytes in, frames out, and back. No sockets, no streams; `spdy_session.py` has those.

kubectl before 1.30 runs exec and attach over it, and every kubectl tunnels it for port-forward. Header blocks share one
zlib context for each direction, so frames have to be encoded and decoded in the order in which they travel. The body of
a long DATA frame is given in pieces as it comes; only the last one carries `fin`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

VERSION = 3
FLAG_FIN = 1
FLAG_UNIDIRECTIONAL = 2
CONTROL_BYTES_MAX = 1 << 18
HEADER_BLOCK_BYTES_MAX = 1 << 20
HEADERS_MAX = 1000
STREAM_ID_MAX = 0x7FFFFFFF

# RST_STREAM status codes
PROTOCOL_ERROR = 1
INVALID_STREAM = 2
REFUSED_STREAM = 3
CANCEL = 5
FLOW_CONTROL_ERROR = 7
STREAM_IN_USE = 8
STREAM_ALREADY_CLOSED = 9

# SETTINGS ids
INITIAL_WINDOW_SIZE = 7

# The dictionary that both sides start their zlib contexts with (the SPDY/3 draft, section 2.6.10.1): length-prefixed
# words, then plain text.
_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie "
    "keep-alive origin"
)
_TEXT = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = (
    b"".join(struct.pack("!I", len(word)) + word.replace("_", " ").encode() for word in _WORDS.split()) + _TEXT.encode()
)

Headers = Sequence[tuple[str, str]]


class SpdyError(ValueError):
    """The peer broke the protocol; the session cannot go on."""


@dataclass(frozen=True, slots=True)
class SynStream:
    stream_id: int
    headers: Headers
    fin: bool = False
    unidirectional: bool = False
    associated: int = 0
    priority: int = 0


@dataclass(frozen=True, slots=True)
class SynReply:
    stream_id: int
    headers: Headers = ()
    fin: bool = False


@dataclass(frozen=True, slots=True)
class MoreHeaders:
    stream_id: int
    headers: Headers
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Data:
    stream_id: int
    data: bytes
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    stream_id: int
    status: int = CANCEL


@dataclass(frozen=True, slots=True)
class Settings:
    values: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ping:
    id: int


@dataclass(frozen=True, slots=True)
class GoAway:
    last_stream_id: int = 0
    status: int = 0


@dataclass(frozen=True, slots=True)
class WindowUpdate:
    """`stream_id` 0 is the whole session."""

    stream_id: int
    delta: int


Frame = SynStream | SynReply | MoreHeaders | Data | Reset | Settings | Ping | GoAway | WindowUpdate


class Encoder:
    """Frames to bytes, in the order in which they will be sent."""

    def __init__(self) -> None:
        self._zlib = zlib.compressobj(zdict=DICTIONARY)

    def encode(self, frame: Frame) -> bytes:
        match frame:
            case Data(stream_id, data, fin):
                return struct.pack("!II", stream_id, (FLAG_FIN if fin else 0) << 24 | len(data)) + data
            case SynStream():
                flags = (FLAG_FIN if frame.fin else 0) | (FLAG_UNIDIRECTIONAL if frame.unidirectional else 0)
                head = struct.pack("!IIBB", frame.stream_id, frame.associated, frame.priority << 5, 0)
                return _control(1, flags, head + self._block(frame.headers))
            case SynReply(stream_id, headers, fin):
                return _control(2, FLAG_FIN if fin else 0, struct.pack("!I", stream_id) + self._block(headers))
            case MoreHeaders(stream_id, headers, fin):
                return _control(8, FLAG_FIN if fin else 0, struct.pack("!I", stream_id) + self._block(headers))
            case Reset(stream_id, status):
                return _control(3, 0, struct.pack("!II", stream_id, status))
            case Settings(values):
                entries = b"".join(struct.pack("!II", key, value) for key, value in values.items())
                return _control(4, 0, struct.pack("!I", len(values)) + entries)
            case Ping(ping_id):
                return _control(6, 0, struct.pack("!I", ping_id))
            case GoAway(last_stream_id, status):
                return _control(7, 0, struct.pack("!II", last_stream_id, status))
            case WindowUpdate(stream_id, delta):
                return _control(9, 0, struct.pack("!II", stream_id, delta))

    def _block(self, headers: Headers) -> bytes:
        merged: dict[str, str] = {}
        for name, value in headers:
            key = name.lower()
            merged[key] = f"{merged[key]}\0{value}" if key in merged else value
        parts = [struct.pack("!I", len(merged))]
        for pair in merged.items():
            for text in pair:
                data = text.encode()
                parts.append(struct.pack("!I", len(data)) + data)
        return self._zlib.compress(b"".join(parts)) + self._zlib.flush(zlib.Z_SYNC_FLUSH)


class Decoder:
    """Bytes to frames. Raises SpdyError; after that it cannot be used any more."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(zdict=DICTIONARY)
        self._buffer = bytearray()
        self._data: tuple[int, bool, int] | None = None  # stream, fin and bytes left of a DATA frame

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole now, and what came of a DATA frame. Must be exhausted before the next call."""
        self._buffer += data
        while True:
            frame = self._next_data() if self._data is not None else self._next_frame()
            if frame is None:
                return
            if frame != Settings():  # also stands for control frames that are skipped
                yield frame

    def _next_data(self) -> Frame | None:
        assert self._data is not None
        stream_id, fin, left = self._data
        if left and not self._buffer:
            return None
        piece = bytes(self._buffer[:left])
        del self._buffer[: len(piece)]
        left -= len(piece)
        self._data = (stream_id, fin, left) if left else None
        return Data(stream_id, piece, fin and not left)

    def _next_frame(self) -> Frame | None:
        if len(self._buffer) < 8:
            return None
        first, second = struct.unpack_from("!II", self._buffer)
        flags, length = second >> 24, second & 0xFFFFFF
        if not first >> 31:
            del self._buffer[:8]
            self._data = (first, bool(flags & FLAG_FIN), length)
            return self._next_data()
        if first >> 16 & 0x7FFF != VERSION:
            raise SpdyError(f"SPDY version {first >> 16 & 0x7FFF} is not spoken here")
        if length > CONTROL_BYTES_MAX:
            raise SpdyError(f"a control frame of {length} bytes")
        if len(self._buffer) < 8 + length:
            return None
        payload = bytes(self._buffer[8 : 8 + length])
        del self._buffer[: 8 + length]
        try:
            return self._control(first & 0xFFFF, flags, payload)
        except struct.error:
            raise SpdyError("a control frame is cut") from None

    def _control(self, kind: int, flags: int, payload: bytes) -> Frame:
        fin = bool(flags & FLAG_FIN)
        if kind in (1, 2, 8):
            stream_id = struct.unpack_from("!I", payload)[0] & STREAM_ID_MAX
            if kind == 1:
                _, associated, priority, _ = struct.unpack_from("!IIBB", payload)
                unidirectional = bool(flags & FLAG_UNIDIRECTIONAL)
                headers = self._headers(payload[10:])
                return SynStream(stream_id, headers, fin, unidirectional, associated & STREAM_ID_MAX, priority >> 5)
            headers = self._headers(payload[4:])
            return SynReply(stream_id, headers, fin) if kind == 2 else MoreHeaders(stream_id, headers, fin)
        if kind == 4:
            (count,) = struct.unpack_from("!I", payload)
            if len(payload) != 4 + 8 * count:
                raise SpdyError("a SETTINGS frame has the wrong length")
            entries = struct.iter_unpack("!II", payload[4:])
            return Settings({key & 0xFFFFFF: value for key, value in entries})
        if kind == 6:
            return Ping(struct.unpack_from("!I", payload)[0])
        if kind in (3, 7, 9):
            first, second = struct.unpack_from("!II", payload)
            first &= STREAM_ID_MAX
            return Reset(first, second) if kind == 3 else (GoAway if kind == 7 else WindowUpdate)(first, second)
        return Settings()

    def _headers(self, block: bytes) -> list[tuple[str, str]]:
        try:
            data = self._zlib.decompress(block, HEADER_BLOCK_BYTES_MAX)
        except zlib.error as error:
            raise SpdyError(f"a header block does not decompress: {error}") from None
        if self._zlib.unconsumed_tail:
            raise SpdyError("a header block is too large")
        texts, at = [], 4
        (count,) = struct.unpack_from("!I", data)
        if count > HEADERS_MAX:
            raise SpdyError(f"{count} headers")
        for _ in range(2 * count):
            (size,) = struct.unpack_from("!I", data, at)
            if at + 4 + size > len(data):
                raise SpdyError("a header block is cut")
            texts.append(data[at + 4 : at + 4 + size].decode("utf-8", "replace"))
            at += 4 + size
        return [
            (name, value) for name, values in zip(texts[::2], texts[1::2], strict=True) for value in values.split("\0")
        ]


def _control(kind: int, flags: int, payload: bytes) -> bytes:
    return struct.pack("!HHI", 0x8000 | VERSION, kind, flags << 24 | len(payload)) + payload
