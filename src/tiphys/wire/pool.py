"""
A pool of connections to one server, which is a Handler: what speaks to it cannot tell it from the server itself.

Connections are kept alive and used again, the last one first. A connection that turns out to be stale (the server
closed it while it was idle) is replaced, and the request sent once more if it is one that may be sent twice.
Everything raised is an OSError: ConnectFailed, PoolBusy, NoAnswer, and link.ConnectionLost.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from tiphys.wire.client_connection import ClientConnection
from tiphys.wire.head import HOP_BY_HOP, encode, header_lines
from tiphys.wire.link import RECEIVE_BYTES
from tiphys.wire.messages import Request, Response

# May be sent again when a kept connection fails before the answer begins (RFC 9110 §9.2.1: safe methods).
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
WITH_BODY = frozenset(("POST", "PUT", "PATCH"))


class ConnectFailed(ConnectionError):
    """No connection: refused, unknown host, TLS that does not verify, or too slow. The message names the server."""


class PoolBusy(TimeoutError):
    """Every connection of the pool stayed in use for too long."""


class NoAnswer(TimeoutError):
    """The server took the request and did not answer in time."""


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """`answer_seconds` is until the head of the answer, or the whole if its length is given. A stream may last."""

    connections_max: int = 512
    idle_max: int = 32
    idle_seconds: float = 90.0
    connect_seconds: float = 10.0
    wait_seconds: float = 30.0
    answer_seconds: float = 120.0


Headers = Mapping[str, str] | Callable[[], Mapping[str, str]]


class HttpPool:
    """
    `await pool(request)` gives the response of the server at `base_url`: `http://host:port/prefix`, `https://…`, or
    `http+unix://%2Frun%2Fa.sock`.

    `headers` are added to each request that does not bring its own; a function is asked each time, for tokens that
    rotate. `server_name` is checked against the server's certificate instead of the URL's host. After a 101 the
    response has a `stream`, which the caller closes.
    """

    def __init__(
        self,
        base_url: str,
        *,
        tls: ssl.SSLContext | None = None,
        headers: Headers | None = None,
        server_name: str = "",
        limits: PoolLimits = PoolLimits(),
    ) -> None:
        url = urlsplit(base_url)
        if url.scheme not in ("http", "https", "http+unix"):
            raise ValueError(f"{base_url!r} is not a http, https or http+unix URL")
        if url.scheme == "https" and tls is None:
            tls = ssl.create_default_context()
        self.tls = tls if url.scheme == "https" else None
        self.base_url = base_url
        self._unix_path = unquote(url.netloc) if url.scheme == "http+unix" else ""
        self._host = url.hostname or ""
        self._port = (443 if self.tls else 80) if self._unix_path or url.port is None else url.port
        self._authority = "localhost" if self._unix_path else url.netloc.rpartition("@")[2]
        self._prefix = url.path.rstrip("/")
        self._headers = headers if headers is not None else {}
        self._server_name = server_name or self._host
        self._limits = limits
        self._buffer = memoryview(bytearray(RECEIVE_BYTES))
        self._idle: list[ClientConnection] = []
        self._used: set[ClientConnection] = set()
        self._places = asyncio.Semaphore(limits.connections_max)
        self._closed = False

    async def __call__(self, request: Request) -> Response:
        head = self._head(request)
        body = request.body
        head_only = request.method == "HEAD"
        connection = await self._take()
        while True:
            stale = connection.answered_once
            try:
                async with asyncio.timeout(self._limits.answer_seconds):
                    return await connection.exchange(head, body, head_only=head_only)
            except TimeoutError:
                connection.abort()
                raise NoAnswer(
                    f"{self.base_url} did not answer {request.method} within {self._limits.answer_seconds:.0f} s"
                ) from None
            except ConnectionError:
                connection.abort()
                if not stale or connection.heard or request.method not in SAFE_METHODS:
                    raise
            except BaseException:
                connection.abort()
                raise
            connection = await self._take(fresh=True)

    async def close(self) -> None:
        """End every connection; what is under way fails with ConnectionLost."""
        self._closed = True
        for connection in [*self._idle, *self._used]:
            connection.abort()
        self._idle.clear()

    # connections

    async def _take(self, *, fresh: bool = False) -> ClientConnection:
        if self._closed:
            raise ConnectFailed(f"the pool to {self.base_url} is closed")
        if self._places.locked():
            try:
                async with asyncio.timeout(self._limits.wait_seconds):
                    await self._places.acquire()
            except TimeoutError:
                raise PoolBusy(
                    f"all {self._limits.connections_max} connections to {self.base_url} are in use"
                ) from None
        else:
            await self._places.acquire()
        now = asyncio.get_running_loop().time()
        while self._idle and not fresh:
            connection = self._idle.pop()
            if (
                connection.reusable
                and not connection.closed
                and now - connection.idle_since < self._limits.idle_seconds
            ):
                self._used.add(connection)
                return connection
            connection.close()
        try:
            return await self._connect()
        except BaseException:
            self._places.release()
            raise

    async def _connect(self) -> ClientConnection:
        loop = asyncio.get_running_loop()
        connection: ClientConnection | None = None
        try:
            async with asyncio.timeout(self._limits.connect_seconds):

                def make() -> ClientConnection:
                    return ClientConnection(loop, self._buffer, self._give_back)

                if self._unix_path:
                    _, connection = await loop.create_unix_connection(make, self._unix_path)
                else:
                    _, connection = await loop.create_connection(make, self._host, self._port)
                if self.tls is not None:
                    connection.start_tls(self.tls, server_side=False, server_name=self._server_name)
                    await connection.ready
        except TimeoutError:
            self._drop(connection)
            raise ConnectFailed(f"{self.base_url}: no connection within {self._limits.connect_seconds:.0f} s") from None
        except OSError as error:  # ssl.SSLError is one
            self._drop(connection)
            raise ConnectFailed(f"{self.base_url}: {error}") from error
        except BaseException:
            self._drop(connection)
            raise
        self._used.add(connection)
        return connection

    def _drop(self, connection: ClientConnection | None) -> None:
        if connection is not None:
            connection.abort()

    def _give_back(self, connection: ClientConnection) -> None:
        """The answer has been read, or the connection has ended."""
        if connection not in self._used:
            if connection.closed and connection in self._idle:
                self._idle.remove(connection)
            return
        self._used.discard(connection)
        self._places.release()
        if not connection.reusable or connection.closed or self._closed or len(self._idle) >= self._limits.idle_max:
            connection.close()
            return
        connection.idle_since = connection.loop.time()
        self._idle.append(connection)

    # the head of a request

    def _head(self, request: Request) -> bytes:
        own = self._headers() if callable(self._headers) else self._headers
        sent = request.headers
        lines = [f"{request.method} {self._prefix}{request.target} HTTP/1.1\r\n", f"Host: {self._authority}\r\n"]
        lines.append(
            header_lines((n, v) for n, v in sent.items() if n not in HOP_BY_HOP and n not in ("host", "expect"))
        )
        lines.append(header_lines((n, v) for n, v in own.items() if n.lower() not in sent))
        lines.append(header_lines(request.more_headers))
        if "upgrade" in sent:
            lines.append(header_lines((("Upgrade", sent["upgrade"]),), hop_by_hop=True) + "Connection: Upgrade\r\n")
        if request.body or request.method in WITH_BODY:
            lines.append(f"Content-Length: {len(request.body)}\r\n")
        lines.append("\r\n")
        if any(character in lines[0][:-2] for character in "\r\n") or lines[0].count(" ") != 2:
            raise ValueError(f"{request.target!r} is not a request target")
        return encode("".join(lines))
