"""
The streams of one exec or attach, over SPDY/3.1 or WebSocket alike.

Which of the two is the client's choice; so is the version, which decides how the end is told: from v4 on as a Status
in JSON, before as plain text and only if it went wrong. From v5 on (WebSocket) a client can end its input.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from tiphys.api import errors
from tiphys.node.server.query import Wanted
from tiphys.wire import websocket
from tiphys.wire.channels import Channel, Channels
from tiphys.wire.link import ConnectionLost
from tiphys.wire.messages import Request, Stream
from tiphys.wire.spdy_session import SpdySession, SpdyStream
from tiphys.wire.websocket import WebSocket

# What SPDY clients offer in X-Stream-Protocol-Version, and WebSocket clients as subprotocols.
SPDY_VERSIONS = {
    "v4.channel.k8s.io": 4,
    "v3.channel.k8s.io": 3,
    "v2.channel.k8s.io": 2,
    "channel.k8s.io": 1,
    "": 1,
}
STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
NAMES = {"stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "error": ERROR, "resize": RESIZE}

Headers = list[tuple[str, str]]
Status = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Form:
    """How a WebSocket subprotocol is spoken."""

    version: int
    base64_text: bool = False


FORMS = {
    "v5.channel.k8s.io": Form(5),
    "v4.channel.k8s.io": Form(4),
    "v4.base64.channel.k8s.io": Form(4, base64_text=True),
    "channel.k8s.io": Form(1),
    "base64.channel.k8s.io": Form(1, base64_text=True),
    "": Form(1),
}


@dataclass(slots=True)
class Streams:
    """`gone` ends when the client is gone. Streams that were not asked for are None."""

    version: int
    error: Stream
    gone: asyncio.Task[None]
    owner: SpdySession | Channels
    stdin: Stream | None = None
    stdout: Stream | None = None
    stderr: Stream | None = None
    resize: Stream | None = None

    async def end(self, status: Status, linger_seconds: float) -> None:
        """Tell how it ended, and wait a little until the client has taken it and closes."""
        try:
            for stream in (self.stdout, self.stderr):
                if stream is not None:
                    await stream.close_output()
            if self.version >= 4:
                await self.error.write(orjson.dumps(status))
            elif status["status"] != "Success":
                await self.error.write(str(status["message"]).encode())
            await self.error.close_output()
        except ConnectionLost:
            return
        if isinstance(self.owner, SpdySession):
            await asyncio.wait((self.gone,), timeout=linger_seconds)

    async def close(self) -> None:
        await self.owner.close()
        self.gone.cancel()
        await asyncio.gather(self.gone, return_exceptions=True)


# SPDY


def agree_on_spdy(request: Request, spoken: Mapping[str, Any]) -> tuple[str, Headers]:
    """The protocol and the headers of the 101. Forbidden, as Kubernetes says it, where there is none in common."""
    text = request.headers.get("x-stream-protocol-version", "")
    offered = [item.strip() for item in text.split(",")]
    chosen = next((item for item in offered if item in spoken), None)
    if chosen is None:
        ours = ", ".join(name for name in spoken if name)
        raise errors.failure(
            403, "Forbidden", f"unable to negotiate a protocol: client offers {text}, server has {ours}"
        )
    headers = [("Upgrade", "SPDY/3.1")]
    return chosen, [*headers, ("X-Stream-Protocol-Version", chosen)] if chosen else headers


async def open_spdy(raw: Stream, version: int, wanted: Wanted, timeout_seconds: float) -> Streams:
    """Wait for the streams that the client announced. Raises ConnectionLost if they do not all come."""
    session = SpdySession(raw, client=False)
    gone = asyncio.create_task(session.run(), name="spdy session")
    names = {name for name in ("stdin", "stdout", "stderr") if getattr(wanted, name)} | {"error"}
    if wanted.tty and version >= 3:
        names.add("resize")
    try:
        async with asyncio.timeout(timeout_seconds):
            found = await _collect(session, names)
    except TimeoutError:
        await session.close()
        await asyncio.gather(gone, return_exceptions=True)
        raise ConnectionLost("the client did not open the streams that it had announced") from None
    except BaseException:
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        raise
    return Streams(
        version, found["error"], gone, session,
        found.get("stdin"), found.get("stdout"), found.get("stderr"), found.get("resize"),
    )  # fmt: skip


async def _collect(session: SpdySession, names: set[str]) -> dict[str, SpdyStream]:
    found: dict[str, SpdyStream] = {}
    while found.keys() != names:
        stream = await session.accept()
        if stream is None:
            raise ConnectionLost("the client went away before it had opened its streams")
        name = stream.headers.get("streamtype", "")
        if name in names and name not in found:
            found[name] = stream
        else:
            await stream.close()
    return found


# WebSocket


def agree_on_websocket(request: Request) -> tuple[Form, Headers]:
    try:
        chosen, headers = websocket.accept(request.headers, tuple(FORMS))
    except websocket.HandshakeRefused as refused:
        raise errors.bad_request(str(refused)) from None
    return FORMS[chosen], headers


async def open_websocket(raw: Stream, form: Form, wanted: Wanted) -> Streams:
    """All channels are there at once; an empty message tells a waiting client so."""
    owner = Channels(WebSocket(raw), NAMES.values(), base64_text=form.base64_text, close_signal=form.version >= 5)
    first = STDOUT if wanted.stdout else STDERR if wanted.stderr else ERROR
    await owner.send(first, b"")

    def of(number: int, is_wanted: bool) -> Channel | None:
        if not is_wanted:
            owner[number].feed_end()
        return owner[number] if is_wanted else None

    return Streams(
        form.version, owner[ERROR], asyncio.create_task(owner.run(), name="websocket channels"), owner,
        of(STDIN, wanted.stdin), of(STDOUT, wanted.stdout), of(STDERR, wanted.stderr), of(RESIZE, wanted.tty),
    )  # fmt: skip
