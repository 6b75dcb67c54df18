"""
The routes of the node's server, each for the API server alone.

It speaks with one client certificate, and that is asked for before anything is looked at. Logs and lists answer with a
Status on failure, since that answer reaches the user as it is; upgrades answer with plain text, which is what clients
put behind "unable to upgrade connection".
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import parse_qs, unquote

import orjson

from tiphys.aio import clock as clocks
from tiphys.api import errors
from tiphys.api.errors import StatusError
from tiphys.node.server import port_forward, streams
from tiphys.node.server.commands import Conversation
from tiphys.node.server.dial import dial
from tiphys.node.server.doors import PodsHere, ServerLimits, Trust
from tiphys.node.server.figures import About, Figures
from tiphys.node.server.port_forward import PortForward
from tiphys.node.server.query import Query, Wanted, forwarded_ports, log_options, wanted_streams
from tiphys.observe import metrics
from tiphys.runtime.door import Process, Runtime
from tiphys.wire import websocket
from tiphys.wire.link import ConnectionLost
from tiphys.wire.messages import Request, Response, Stream, Takeover
from tiphys.wire.websocket import WebSocket, WebSocketStream

log = logging.getLogger(__name__)

TEXT = (("Content-Type", "text/plain; charset=utf-8"),)
JSON = (("Content-Type", "application/json"),)
# Their failures come as plain text.
UPGRADES = frozenset(("exec", "attach", "portForward"))
STREAMS = metrics.counter("tiphys_node_streams_total", "Streams that clients have opened, by kind.", ("kind",))
Route = Callable[[Request, list[str], Query], Awaitable[Response]]


class NodeHandler:
    """A Handler. `trust` says whose certificate may speak."""

    def __init__(
        self,
        here: PodsHere,
        runtime: Runtime,
        trust: Trust,
        *,
        figures: Figures | None = None,
        limits: ServerLimits = ServerLimits(),
        clock: clocks.Clock = time.time,
    ) -> None:
        self._here = here
        self._runtime = runtime
        self._trust = trust
        self._figures = figures or Figures(here, About(), clock=clock)
        self._limits = limits
        self._clock = clock
        self._sessions = 0
        # The first word of a path, and how many follow.
        self._routes: dict[tuple[str, int], Route] = {
            ("healthz", 0): self._healthz,
            ("pods", 0): self._pods,
            ("metrics", 0): self._metrics,
            ("metrics", 1): self._metrics,
            ("stats", 1): self._stats,
            ("containerLogs", 3): self._logs,
            ("exec", 3): self._exec,
            ("attach", 3): self._attach,
            ("portForward", 2): self._port_forward,
        }

    async def __call__(self, request: Request) -> Response:
        if request.certificate is None or not self._trust(request.certificate):
            return Response(401, TEXT, b"Unauthorized\n")
        path, _, query = request.target.partition("?")
        first, *words = [unquote(word) for word in path.strip("/").split("/")]
        route = self._routes.get((first, len(words)))
        if route is None:
            return Response(404, TEXT, b"404 page not found\n")
        try:
            return await route(request, words, parse_qs(query, keep_blank_values=True, max_num_fields=2000))
        except StatusError as error:
            if first in UPGRADES:
                return Response(error.code, TEXT, f"{error}\n".encode())
            return Response(error.code, JSON, orjson.dumps(error.status))
        except ValueError:
            return Response(400, TEXT, b"the query has too many fields\n")

    # lists and figures

    async def _healthz(self, request: Request, words: list[str], query: Query) -> Response:
        return Response(200, TEXT, b"ok")

    async def _pods(self, request: Request, words: list[str], query: Query) -> Response:
        items = [{**pod, "apiVersion": "v1", "kind": "Pod"} for pod in self._here.pods()]
        return Response(
            200, JSON, orjson.dumps({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})
        )

    async def _metrics(self, request: Request, words: list[str], query: Query) -> Response:
        return await self._figures.metrics(words)

    async def _stats(self, request: Request, words: list[str], query: Query) -> Response:
        return await self._figures.stats(words, query)

    # streams

    async def _logs(self, request: Request, words: list[str], query: Query) -> Response:
        namespace, pod, container = words
        lines = await self._here.logs(namespace, pod, container, log_options(query, self._clock()))
        return Response(200, TEXT, _closing(lines))

    async def _exec(self, request: Request, words: list[str], query: Query) -> Response:
        wanted = wanted_streams(query)
        command = query.get("command") or []
        if not command:
            raise errors.bad_request("you must specify a command")
        container = self._here.running(*words)

        async def begin() -> Process:
            return await self._runtime.execute(container, command, tty=wanted.tty, stdin=wanted.stdin)

        return self._converse(request, wanted, begin, attached=False)

    async def _attach(self, request: Request, words: list[str], query: Query) -> Response:
        wanted = wanted_streams(query)
        container = self._here.running(*words)

        async def begin() -> Process:
            return await self._runtime.attach(container)

        return self._converse(request, wanted, begin, attached=True)

    def _converse(
        self, request: Request, wanted: Wanted, begin: Callable[[], Awaitable[Process]], *, attached: bool
    ) -> Response:
        limits = self._limits
        if websocket.is_offered(request.headers):
            form, headers = streams.agree_on_websocket(request)

            async def talk(raw: Stream) -> None:
                opened = await streams.open_websocket(raw, form, wanted)
                await Conversation(opened, limits, attached=attached).run(begin)
        else:
            _check_spdy(request)
            chosen, headers = streams.agree_on_spdy(request, streams.SPDY_VERSIONS)
            version = streams.SPDY_VERSIONS[chosen]

            async def talk(raw: Stream) -> None:
                opened = await streams.open_spdy(raw, version, wanted, limits.streams_seconds)
                await Conversation(opened, limits, attached=attached).run(begin)

        return Response(101, headers, takeover=self._counted("attach" if attached else "exec", talk))

    async def _port_forward(self, request: Request, words: list[str], query: Query) -> Response:
        namespace, pod = words
        netns = self._here.network(namespace, pod)
        ports = forwarded_ports(query)

        async def connect(port: int) -> Stream:
            return await dial(netns, port, self._limits.connect_seconds)

        def forward() -> PortForward:
            return PortForward(connect, f"{namespace}/{pod}", self._limits)

        if not websocket.is_offered(request.headers):
            _check_spdy(request)
            _, headers = streams.agree_on_spdy(request, {port_forward.SPDY: True})
            return Response(101, headers, takeover=self._counted("port-forward", lambda raw: forward().over_spdy(raw)))
        try:
            chosen, headers = websocket.accept(request.headers, (port_forward.TUNNEL, *port_forward.CHANNEL_FORMS))
        except websocket.HandshakeRefused as refused:
            raise errors.bad_request(str(refused)) from None
        if chosen == port_forward.TUNNEL:
            talk: Takeover = lambda raw: forward().over_spdy(WebSocketStream(WebSocket(raw)))  # noqa: E731
        elif not ports:
            raise errors.bad_request('query parameter "port" is required')
        else:
            coded = port_forward.CHANNEL_FORMS[chosen]
            talk = lambda raw: forward().over_channels(raw, ports, base64_text=coded)  # noqa: E731
        return Response(101, headers, takeover=self._counted("port-forward", talk))

    def _counted(self, kind: str, talk: Takeover) -> Takeover:
        """At most so many streams at a time; a client that is gone is no error."""
        if self._sessions >= self._limits.sessions_max:
            raise errors.too_many_requests(f"this node serves {self._sessions} streams already", 5)

        async def counted(raw: Stream) -> None:
            STREAMS.labels(kind).inc()
            self._sessions += 1
            try:
                await talk(raw)
            except ConnectionLost as lost:
                log.debug("a stream broke: %s", lost)
            finally:
                self._sessions -= 1

        return counted


def _check_spdy(request: Request) -> None:
    if "spdy/3.1" not in request.headers.get("upgrade", "").lower():
        raise errors.bad_request("unable to upgrade: the request asks neither for SPDY/3.1 nor for a WebSocket")


async def _closing(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The log as it comes, closed with the answer."""
    try:
        async for piece in lines:
            yield piece
    finally:
        close = getattr(lines, "aclose", None)
        if close is not None:
            await close()
