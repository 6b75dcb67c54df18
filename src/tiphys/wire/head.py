"""The head of an HTTP/1.1 message as bytes: status lines, header lines, the date."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from http import HTTPStatus

STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}

# What belongs to one connection, not to the message: the framing is ours to decide.
HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length")
)

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"

# Nearly all answers open in one of a few ways. What is long says something of its own, and is not kept.
OPENINGS_MAX, OPENING_BYTES_MAX = 256, 512
_openings: dict[tuple[int, tuple[tuple[str, str], ...]], bytes] = {}

_date = (0, b"")


class BadHeader(ValueError):
    """A header that would break the framing: a line break or a character outside Latin-1."""


def date_line() -> bytes:
    """The Date header of this second."""
    global _date
    now = int(time.time())
    if _date[0] != now:
        _date = (now, time.strftime("Date: %a, %d %b %Y %H:%M:%S GMT\r\n", time.gmtime(now)).encode())
    return _date[1]


def opening(status: int, headers: Sequence[tuple[str, str]]) -> bytes:
    """The status line and the lines of an answer's own headers. Raises BadHeader."""
    key = (status, tuple(headers))
    made = _openings.get(key)
    if made is None:
        made = encode(status_line(status) + header_lines(headers))
        if len(made) <= OPENING_BYTES_MAX:
            if len(_openings) >= OPENINGS_MAX:
                _openings.clear()
            _openings[key] = made
    return made


def header_lines(headers: Iterable[tuple[str, str]], *, hop_by_hop: bool = False) -> str:
    """`Name: value` lines, without those that belong to the connection unless asked for. Raises BadHeader."""
    lines = [f"{name}: {value}\r\n" for name, value in headers if hop_by_hop or name.lower() not in HOP_BY_HOP]
    text = "".join(lines)
    if text.count("\n") != len(lines) or text.count("\r") != len(lines) or "\0" in text:
        raise BadHeader("a header name or value has a line break in it")
    return text


def encode(text: str) -> bytes:
    """The bytes of a head. Raises BadHeader."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise BadHeader("a header has a character outside Latin-1 in it") from None


def status_line(status: int) -> str:
    return STATUS_LINES.get(status) or f"HTTP/1.1 {status} Status {status}\r\n"


# The last chunk that was framed: a thousand watchers are sent the very same bytes, one after the other.
_framed = (b"", b"")


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; `data` is not empty."""
    global _framed
    last = _framed
    if last[0] is not data:
        last = _framed = (data, b"%x\r\n%b\r\n" % (len(data), data))
    return last[1]
