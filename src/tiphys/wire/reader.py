"""
Bytes in, HTTP/1.1 requests out; knows limits but no connection.

httptools parses; this decides what a request is, and turns everything else into a Refusal that takes its place in the
line of answers, so that earlier requests on the connection are still answered in order.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import httptools

from tiphys.wire.messages import Request

# Lower-case text of header names seen so far; clients send the same few. Bounded, because names come from outside.
_names: dict[bytes, str] = {}
NAMES_MAX = 512


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What one server grants its clients.

    The default body limit is that of Kubernetes (3 MiB), the head limit that of Go's server: a long `kubectl exec`
    command is all in the URL. `request_seconds` is for a whole request, head and body, from its first byte.
    """

    connections_max: int = 20_000
    head_bytes_max: int = 1024 * 1024
    body_bytes_max: int = 3 * 1024 * 1024
    pipelined_max: int = 16
    handshake_seconds: float = 10.0
    request_seconds: float = 60.0
    idle_seconds: float = 180.0
    stalled_write_seconds: float = 60.0
    linger_seconds: float = 2.0


class Refused(Exception):
    """Raised inside a parser callback: this request gets `status` and the connection ends."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(slots=True)
class Incoming:
    """
    One request in line, or (`refusal` is set) the reason why there is none.

    `upgrade` says that the client offered to switch protocols. `chunked` is whether it understands chunks (HTTP/1.1).
    """

    request: Request
    keep_alive: bool = True
    upgrade: bool = False
    chunked: bool = True
    refusal: Refused | None = None


class RequestReader:
    """
    `feed` bytes, take from `ready`.

    After a request that offers an upgrade, what follows is kept in `held` until it is known who reads it: `resume` for
    more HTTP, or the raw stream.
    """

    __slots__ = (
        "_body",
        "_body_size",
        "_chunked",
        "_head_size",
        "_headers",
        "_in_head",
        "_keep_alive",
        "_limits",
        "_method",
        "_parser",
        "_raw_body_left",
        "_target",
        "_upgrade",
        "certificate",
        "ended",
        "held",
        "holding",
        "partial",
        "peer",
        "ready",
        "wants_continue",
    )

    def __init__(self, limits: Limits, peer: str = "", certificate: bytes | None = None) -> None:
        self._limits = limits
        self.peer = peer
        self.certificate = certificate
        self.ready: deque[Incoming] = deque()
        self.partial = False  # in the middle of a request
        self.wants_continue = False  # the client waits for "100 Continue" before it sends the body
        self.ended = False  # nothing more is read: refused, or the client announced the end
        self.holding = False
        self.held: list[bytes] = []
        self._parser = httptools.HttpRequestParser(self)
        self._raw_body_left = 0
        self._keep_alive = True
        self._chunked = True
        self._method = ""
        self._begin()

    def _begin(self) -> None:
        self._target = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._body_size = 0
        self._head_size = 0
        self._in_head = True
        self._upgrade = False

    def feed(self, data: bytes) -> None:
        if self.ended:
            return
        if self.holding:
            self.held.append(data)
            return
        if self._raw_body_left:
            data = self._take_raw_body(data)
            if not data:
                return
            self.held.append(data)
            return
        was_in_head = self._in_head
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offset:
            self._after_upgrade_head(data[offset.args[0] :])
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, Refused) else Refused(400, f"malformed HTTP request: {error}"))
        else:
            if was_in_head and self._in_head:
                self._count_head(len(data))

    def resume(self) -> None:
        """The upgrade was not taken: what was held is HTTP."""
        held, self.held = b"".join(self.held), []
        self.holding = False
        if held:
            self.feed(held)

    def refuse(self, status: int, message: str) -> None:
        """Answer `status` after what is in line, then end."""
        self._refuse(Refused(status, message))

    def close(self) -> None:
        """Break the reference cycle with the parser; nothing may be fed any more."""
        self.ended = True
        del self._parser

    # httptools' callbacks

    def on_url(self, url: bytes) -> None:
        self.partial = True
        self._target += url
        if len(self._target) > self._limits.head_bytes_max:
            raise Refused(414, "the request line is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer: nothing of ours reads them
        self._head_size += len(name) + len(value)
        if self._head_size > self._limits.head_bytes_max:
            raise Refused(431, "the request headers are too large")
        key = _names.get(name) or _lower(name)
        text = value.decode("latin-1").rstrip(" \t")
        known = self._headers.get(key)
        self._headers[key] = text if known is None else f"{known}, {text}"

    def on_headers_complete(self) -> None:
        parser, headers = self._parser, self._headers
        self._in_head = False
        self._keep_alive = parser.should_keep_alive()
        version = parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise Refused(505, f"HTTP/{version} is not spoken here; use HTTP/1.1")
        self._chunked = version == "1.1"
        self._method = parser.get_method().decode()
        if self._method == "CONNECT":
            raise Refused(405, "this is no proxy")
        host = headers.get("host")
        if (host is None and version == "1.1") or (host is not None and "," in host):
            raise Refused(400, "exactly one Host header is required")
        length = headers.get("content-length")
        if length is not None and int(length) > self._limits.body_bytes_max:
            raise self._too_large()
        self._upgrade = parser.should_upgrade()
        if self._upgrade:
            if "transfer-encoding" in headers:
                raise Refused(400, "an upgrade cannot be asked for with a chunked body")
            self._raw_body_left = int(length or 0)
        expected = headers.get("expect")
        if expected is not None and version == "1.1":
            if expected.lower() != "100-continue":
                raise Refused(417, "only 'Expect: 100-continue' is known")
            self.wants_continue = True

    def on_body(self, data: bytes) -> None:
        self._body_size += len(data)
        if self._body_size > self._limits.body_bytes_max:
            raise self._too_large()
        self._body.append(data)

    def on_message_complete(self) -> None:
        if self._upgrade and self._raw_body_left:
            return  # llhttp takes the body of an upgrade for the new protocol; we read it
        self.ready.append(self._incoming())
        self.partial = False
        self.wants_continue = False
        if not self._keep_alive:
            self.ended = True
        self.holding = self._upgrade
        self._begin()

    # the parts of a request

    def _incoming(self) -> Incoming:
        body = self._body
        request = Request(
            self._method,
            _origin_form(self._target),
            self._headers,
            body[0] if len(body) == 1 else b"".join(body),
            self.peer,
            self.certificate,
        )
        return Incoming(request, self._keep_alive, self._upgrade, self._chunked)

    def _after_upgrade_head(self, rest: bytes) -> None:
        if self._raw_body_left:
            rest = self._take_raw_body(rest)
        if rest:
            self.held.append(rest)

    def _take_raw_body(self, data: bytes) -> bytes:
        body, rest = data[: self._raw_body_left], data[self._raw_body_left :]
        self._raw_body_left -= len(body)
        self._body.append(body)
        if not self._raw_body_left:
            self.on_message_complete()
        return rest

    def _count_head(self, size: int) -> None:
        # Also counts what httptools keeps back until a header is whole, so that one endless header ends here.
        self._head_size += size
        if self._head_size > 2 * self._limits.head_bytes_max:
            self._refuse(Refused(431, "the request headers are too large"))

    def _too_large(self) -> Refused:
        return Refused(413, f"limit is {self._limits.body_bytes_max}")

    def _refuse(self, refusal: Refused) -> None:
        self.ready.append(Incoming(Request("", ""), keep_alive=False, refusal=refusal))
        self.ended = True
        self.partial = False
        self.wants_continue = False


def _lower(name: bytes) -> str:
    text = name.decode("latin-1").lower()
    if len(_names) < NAMES_MAX:
        _names[name] = text
    return text


def _origin_form(target: bytes) -> str:
    """Path and query; an absolute URL (as sent to proxies) loses its scheme and host."""
    try:
        text = target.decode()
    except UnicodeDecodeError:
        raise Refused(400, "the request target is not valid UTF-8") from None
    if text.startswith("/") or text == "*":
        return text
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        raise Refused(400, "the request target is neither a path nor a URL")
    slash = rest.find("/")
    return rest[slash:] if slash >= 0 else "/"
