"""
The Handler door: a request in, a response out; the body of a response may stream.

The API server *is* a Handler; authentication, admission and limits *wrap* one; an HTTP pool to a remote server *is*
one. So a client works the same in-process and over TLS, and neither side imports the other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Identity:
    """Who speaks, as the API server knows them: `system:node:n1` in group `system:nodes`."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Stream(Protocol):
    """The raw bytes of a connection after an upgrade. Reads give b"" at the end of the input."""

    async def read(self, max_bytes: int = 65536) -> bytes: ...

    async def write(self, data: bytes) -> None:
        """Send all of `data`; waits while the peer is slow (back-pressure)."""

    async def close_output(self) -> None:
        """Tell the peer that no more comes; reading goes on."""

    async def close(self) -> None: ...


@dataclass(slots=True)
class Request:
    """
    One HTTP request with its whole body.

    `target` is the path and query as sent (percent-encoded). Header names are lower-case; a header that came several
    times is joined by ", ". `certificate` is the verified client certificate (DER), if there was one. `identity` is
    set only by in-process callers, which are trusted; nothing that reads from a socket ever sets it. `more_headers` are
    sent beside `headers` by who must send one several times.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    peer: str = ""
    certificate: bytes | None = None
    identity: Identity | None = None
    more_headers: Sequence[tuple[str, str]] = ()


Takeover = Callable[[Stream], Awaitable[None]]


@dataclass(slots=True)
class Response:
    """
    The answer. `body` is bytes (sent with Content-Length) or an iterator of chunks (sent chunked, flushed one by one).

    `takeover` is called with the raw connection after a 101 answer has been sent; the connection closes when it
    returns. It is cancelled if the connection breaks. A streaming body's iterator is closed (`aclose`) when the peer
    goes away. An iterator that has `attach` is given a function that sends a chunk at once, for use while it is
    awaited: it says False, and has not sent it, if the peer is slow or gone. `stream` is the client's view: an HTTP
    pool gives it with a 101; who asked for the upgrade closes it.
    """

    status: int
    headers: Sequence[tuple[str, str]] = ()
    body: bytes | AsyncIterator[bytes] = b""
    takeover: Takeover | None = None
    stream: Stream | None = None


Handler = Callable[[Request], Awaitable[Response]]
