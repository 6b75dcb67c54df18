"""The node's server as a part that runs: it listens, serves, and lets streams end when it is cancelled."""

from __future__ import annotations

import asyncio
import ssl

from tiphys.wire import server as http
from tiphys.wire.messages import Handler

DRAIN_SECONDS = 2.0


class NodeServer:
    """`listen` first, so that a taken port is told before anything else begins; `port` is the true one then."""

    def __init__(self, handler: Handler, tls: ssl.SSLContext, *, host: str, port: int) -> None:
        self._handler = handler
        self._tls = tls
        self._host = host
        self._http: http.HttpServer | None = None
        self.port = port

    async def listen(self) -> None:
        """Raises OSError if the address is taken."""
        self._http = await http.start(self._handler, host=self._host, port=self.port, tls=self._tls)
        self.port = self._http.port

    async def run(self) -> None:
        """Serve until cancelled. Streams get a moment to end, then they are cut."""
        if self._http is None:
            await self.listen()
        assert self._http is not None
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self._http.drain(DRAIN_SECONDS)
