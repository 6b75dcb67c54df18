"""
HTTP/2 as gRPC needs it (RFC 9113), for either side: bytes in, events and bytes out. No sockets, no time.

Both windows are respected: what the peer cannot take yet waits here. What we take is bounded by whoever reads the
events (gRPC bounds its messages), so each DATA frame is paid back at once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tiphys.wire import hpack
from tiphys.wire.hpack import Header

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 0x1
END_HEADERS, PADDED, HAS_PRIORITY = 0x4, 0x8, 0x20
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 4, 5
WINDOW_BYTES = 65_535
FRAME_BYTES_MAX = 16_384
BLOCK_BYTES_MAX = 64 * 1024
# Error codes.
REFUSED_STREAM, CANCEL = 7, 8


class Http2Error(Exception):
    """The peer does not speak HTTP/2 as agreed: the connection is over."""


@dataclass(frozen=True, slots=True)
class Headers:
    stream: int
    headers: Sequence[Header]
    ends: bool


@dataclass(frozen=True, slots=True)
class Data:
    stream: int
    data: bytes
    ends: bool


@dataclass(frozen=True, slots=True)
class Reset:
    """The peer gave up a stream, or, with stream 0, takes no new ones on this connection."""

    stream: int
    code: int


Event = Headers | Data | Reset


@dataclass(slots=True)
class _Outgoing:
    """What a stream may still send, and what waits for that: bytes, then perhaps a last block of headers."""

    window: int
    waiting: bytearray = field(default_factory=bytearray)
    ends: bool = False
    trailers: bytes = b""


class Connection:
    """`receive` gives events; `take` gives the bytes to send, also after `receive`."""

    def __init__(self, *, is_client: bool) -> None:
        self._decoder = hpack.Decoder()
        self._unread = bytearray()
        self._unsent = bytearray(PREFACE if is_client else b"") + frame(SETTINGS, 0, 0)
        self._preface = b"" if is_client else PREFACE
        self._block: tuple[int, int, bytearray] | None = None
        self._window = self._initial = WINDOW_BYTES
        self._outgoing: dict[int, _Outgoing] = {}
        self._next = 1

    # out

    def take(self) -> bytes:
        out, self._unsent = bytes(self._unsent), bytearray()
        return out

    def open(self, headers: Sequence[Header]) -> int:
        """A new stream of a client."""
        stream, self._next = self._next, self._next + 2
        self.send_headers(stream, headers)
        return stream

    def send_headers(self, stream: int, headers: Sequence[Header], *, ends: bool = False) -> None:
        """The last ones wait until the data before them has gone."""
        block = hpack.encode(headers)
        known = self._outgoing.setdefault(stream, _Outgoing(self._initial))
        if ends and known.waiting:
            known.trailers, known.ends = block, True
        else:
            self._write_block(stream, block, ends=ends)

    def send_data(self, stream: int, data: bytes, *, ends: bool = False) -> None:
        known = self._outgoing.setdefault(stream, _Outgoing(self._initial))
        known.waiting += data
        known.ends = ends
        self._flush(stream, known)

    def unsent_bytes(self, stream: int) -> int:
        """What waits for the peer's window."""
        known = self._outgoing.get(stream)
        return len(known.waiting) if known is not None else 0

    def reset(self, stream: int, code: int = CANCEL) -> None:
        self._outgoing.pop(stream, None)
        self._unsent += frame(RST_STREAM, 0, stream, struct.pack(">I", code))

    def _write_block(self, stream: int, block: bytes, *, ends: bool) -> None:
        pieces = [block[at : at + FRAME_BYTES_MAX] for at in range(0, len(block), FRAME_BYTES_MAX)] or [b""]
        for number, piece in enumerate(pieces):
            kind = CONTINUATION if number else HEADERS
            flags = (END_HEADERS if number == len(pieces) - 1 else 0) | (END_STREAM if ends and not number else 0)
            self._unsent += frame(kind, flags, stream, piece)
        if ends:
            self._outgoing.pop(stream, None)

    def _flush(self, stream: int, known: _Outgoing) -> None:
        while known.waiting:
            size = min(len(known.waiting), self._window, known.window, FRAME_BYTES_MAX)
            if size <= 0:
                return
            piece = bytes(known.waiting[:size])
            del known.waiting[:size]
            self._window -= size
            known.window -= size
            is_last = known.ends and not known.waiting and not known.trailers
            self._unsent += frame(DATA, END_STREAM if is_last else 0, stream, piece)
            if is_last:
                del self._outgoing[stream]
                return
        if known.trailers:
            self._write_block(stream, known.trailers, ends=True)
        elif known.ends:
            self._unsent += frame(DATA, END_STREAM, stream)
            self._outgoing.pop(stream, None)

    # in

    def receive(self, data: bytes) -> Iterator[Event]:
        """Http2Error when the connection cannot go on."""
        self._unread += data
        if self._preface:
            given = bytes(self._unread[: len(self._preface)])
            if not self._preface.startswith(given):
                raise Http2Error("the peer does not speak HTTP/2")
            if len(given) < len(self._preface):
                return
            del self._unread[: len(given)]
            self._preface = b""
        while len(self._unread) >= 9:
            length = int.from_bytes(self._unread[:3], "big")
            if length > FRAME_BYTES_MAX:
                raise Http2Error("the peer does not speak HTTP/2, or sends frames that are too long")
            if len(self._unread) < 9 + length:
                return
            kind, flags = self._unread[3], self._unread[4]
            stream = int.from_bytes(self._unread[5:9], "big") & 0x7FFFFFFF
            payload = bytes(self._unread[9 : 9 + length])
            del self._unread[: 9 + length]
            yield from self._read(kind, flags, stream, payload)

    def _read(self, kind: int, flags: int, stream: int, payload: bytes) -> Iterator[Event]:
        if self._block is not None and (kind != CONTINUATION or stream != self._block[0]):
            raise Http2Error("a block of headers is interrupted")
        if kind == DATA:
            yield self._data(flags, stream, payload)
        elif kind in (HEADERS, CONTINUATION):
            yield from self._headers(kind, flags, stream, payload)
        elif kind == RST_STREAM:
            self._outgoing.pop(stream, None)
            yield Reset(stream, _number(payload))
        elif kind == SETTINGS and not flags & ACK:
            self._settings(payload)
        elif kind == PING and not flags & ACK:
            self._unsent += frame(PING, ACK, 0, payload)
        elif kind == GOAWAY:
            yield Reset(0, _number(payload[4:]))
        elif kind == WINDOW_UPDATE:
            self._widen(stream, _number(payload))
        elif kind == PUSH_PROMISE:
            raise Http2Error("nobody asked for a push")

    def _data(self, flags: int, stream: int, payload: bytes) -> Data:
        if payload:
            paid = struct.pack(">I", len(payload))
            self._unsent += frame(WINDOW_UPDATE, 0, 0, paid)
            if not flags & END_STREAM:
                self._unsent += frame(WINDOW_UPDATE, 0, stream, paid)
        return Data(stream, _unpadded(flags, payload), bool(flags & END_STREAM))

    def _headers(self, kind: int, flags: int, stream: int, payload: bytes) -> Iterator[Event]:
        if kind == HEADERS:
            rest = _unpadded(flags, payload)
            self._block = stream, flags, bytearray(rest[5:] if flags & HAS_PRIORITY else rest)
        elif self._block is not None:
            self._block[2].extend(payload)
        else:
            raise Http2Error("headers continue that never began")
        _, first, block = self._block
        if len(block) > BLOCK_BYTES_MAX:
            raise Http2Error("a block of headers is too long")
        if flags & END_HEADERS:
            self._block = None
            try:
                yield Headers(stream, self._decoder.decode(bytes(block)), bool(first & END_STREAM))
            except hpack.HpackError as error:
                raise Http2Error(str(error)) from error

    def _settings(self, payload: bytes) -> None:
        if len(payload) % 6:
            raise Http2Error("settings of a wrong size")
        for number, value in struct.iter_unpack(">HI", payload):
            if number == INITIAL_WINDOW_SIZE:
                if value > 0x7FFFFFFF:
                    raise Http2Error("a window that is too large")
                for known in self._outgoing.values():
                    known.window += value - self._initial
                self._initial = value
        self._unsent += frame(SETTINGS, ACK, 0)
        self._flush_all()

    def _widen(self, stream: int, size: int) -> None:
        if stream == 0:
            self._window += size
            self._flush_all()
        elif stream in self._outgoing:
            self._outgoing[stream].window += size
            self._flush(stream, self._outgoing[stream])

    def _flush_all(self) -> None:
        for stream, known in list(self._outgoing.items()):
            if known.waiting:
                self._flush(stream, known)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _unpadded(flags: int, payload: bytes) -> bytes:
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise Http2Error("more padding than frame")
    return payload[1 : len(payload) - payload[0]]


def _number(payload: bytes) -> int:
    if len(payload) < 4:
        raise Http2Error("a frame that is too short")
    return int(struct.unpack(">I", payload[:4])[0]) & 0x7FFFFFFF
