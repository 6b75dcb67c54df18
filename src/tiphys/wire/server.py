"""
The HTTP server: listens, admits connections, looks after their deadlines, drains.

Plain asyncio. HTTP/1.1 is all that kubectl and client-go need, and the only version in which an `Upgrade` connection
can be handed over; the TLS context should offer `http/1.1` by ALPN.
"""

from __future__ import annotations

import asyncio
import ssl

from tiphys.wire.connection import OnError, ServerConnection
from tiphys.wire.link import RECEIVE_BYTES
from tiphys.wire.messages import Handler, Response
from tiphys.wire.reader import Limits

BACKLOG = 1024
# Deadlines are kept to about a second; nobody needs them closer, and each look costs a walk over the connections.
LOOK_SECONDS_MIN = 1.0


def plain_error(status: int, message: str) -> Response:
    """The default answer to what never reaches the handler."""
    return Response(status, (("Content-Type", "text/plain; charset=utf-8"),), f"{message}\n".encode())


class HttpServer:
    """
    Serves one handler on one address until closed. Made by `start`.

    `handler` may be exchanged while serving: a server can listen first and get its real handler later.
    """

    def __init__(self, handler: Handler, tls: ssl.SSLContext | None, limits: Limits, on_error: OnError) -> None:
        self.handler = handler
        self.tls = tls
        self.limits = limits
        self.on_error = on_error
        self.loop = asyncio.get_running_loop()
        self.buffer = memoryview(bytearray(RECEIVE_BYTES))
        self.port = 0
        self._listener: asyncio.Server | None = None
        self._connections: set[ServerConnection] = set()
        self._look: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._empty.set()
        self._draining = False

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    async def listen(self, host: str, port: int) -> None:
        if host.startswith("/"):
            self._listener = await self.loop.create_unix_server(lambda: ServerConnection(self), host, backlog=BACKLOG)
            return
        self._listener = await self.loop.create_server(lambda: ServerConnection(self), host, port, backlog=BACKLOG)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def drain(self, timeout_seconds: float) -> bool:
        """
        Stop in good order: accept nobody, answer what was asked, end streaming bodies, then close.

        Raw streams (exec, port-forward) get the whole time. True if all ended by themselves; the rest is cut.
        """
        self._draining = True
        if self._listener is not None:
            self._listener.close()
        for connection in list(self._connections):
            connection.end_soon()
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._empty.wait()
            in_order = True
        except TimeoutError:
            in_order = False
        await self.close()
        return in_order

    async def close(self) -> None:
        """Stop at once: every connection is cut and every handler cancelled."""
        self._draining = True
        if self._listener is not None:
            self._listener.close()
        if self._look is not None:
            self._look.cancel()
            self._look = None
        for connection in list(self._connections):
            connection.abort()
        await self._empty.wait()

    # what connections call

    def admit(self, connection: ServerConnection) -> bool:
        if self._draining or len(self._connections) >= self.limits.connections_max:
            return False
        self._connections.add(connection)
        self._empty.clear()
        return True

    def forget(self, connection: ServerConnection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    def look_at(self, deadline: float) -> None:
        """Make sure that somebody looks soon after `deadline`."""
        if self._look is None or deadline < self._look.when() - LOOK_SECONDS_MIN:
            if self._look is not None:
                self._look.cancel()
            self._look = self.loop.call_at(deadline, self._look_around)

    def _look_around(self) -> None:
        now = self.loop.time()
        self._look = None
        late = [connection for connection in self._connections if connection.deadline <= now]
        for connection in late:
            connection.expire()
        earliest = min((connection.deadline for connection in self._connections), default=float("inf"))
        if earliest != float("inf"):
            self.look_at(max(earliest, now + LOOK_SECONDS_MIN))


async def start(
    handler: Handler,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    limits: Limits = Limits(),
    on_error: OnError = plain_error,
) -> HttpServer:
    """
    Listen and serve. `host` that starts with "/" is the path of a Unix socket; `port` 0 takes any free one (`.port`).

    `on_error(status, message)` makes the answer to what never reaches the handler: malformed (400), too slow (408), too
    large (413, 414, 431), and to a handler that raised (500). Raises OSError if the address is taken.
    """
    server = HttpServer(handler, tls, limits, on_error)
    await server.listen(host, port)
    return server
