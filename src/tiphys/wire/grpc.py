"""
gRPC calls over sockets of this machine, as client and as server: what drivers and plugins of a node speak.

A message is bytes here; `protobuf.py` knows what is in them. A call asks once and is answered by one message or by
several. Each call has a connection of its own: they are rare, local, and nothing is left to be looked after.

A gRPC library was the other way; docs/decisions/0005-own-grpc.md has its price.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

from tiphys.wire import http2, unix_sockets
from tiphys.wire.hpack import Header

# As gRPC's own libraries.
MESSAGE_BYTES_MAX = 4 << 20
READ_BYTES = 64 * 1024
CONNECTIONS_MAX = 64
CALLS_MAX = 100

# fmt: off
CODES = (
    "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
    "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented", "Internal",
    "Unavailable", "DataLoss", "Unauthenticated",
)
# fmt: on
OK, UNKNOWN, DEADLINE_EXCEEDED, NOT_FOUND, RESOURCE_EXHAUSTED = 0, 2, 4, 5, 8
UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 12, 13, 14

Method = Callable[[bytes], AsyncIterator[bytes]]

log = logging.getLogger(__name__)


class RpcError(Exception):
    """A call that failed: `code` is one of gRPC's. Its text is worded as Go's clients word it."""

    def __init__(self, code: int, message: str) -> None:
        name = CODES[code] if 0 <= code < len(CODES) else f"Code({code})"
        super().__init__(f"rpc error: code = {name} desc = {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Target:
    """Where a server listens: the path of a socket, or a host and port; and as whom we call it."""

    path: str = ""
    host: str = ""
    port: int = 0
    agent: str = "grpc-tiphys/1"

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return "localhost" if self.path else f"{host}:{self.port}"

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if not self.path:
            return await asyncio.open_connection(self.host, self.port)
        with unix_sockets.short_path(Path(self.path)) as path:
            return await asyncio.open_unix_connection(path)


@dataclass(slots=True)
class _Messages:
    """Cuts a stream's bytes into messages."""

    unread: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> Iterator[bytes]:
        self.unread += data
        while len(self.unread) >= 5:
            packed, length = struct.unpack(">BI", self.unread[:5])
            if packed:
                raise RpcError(UNIMPLEMENTED, "compressed messages are not supported")
            if length > MESSAGE_BYTES_MAX:
                raise RpcError(
                    RESOURCE_EXHAUSTED, f"received message larger than max ({length} vs. {MESSAGE_BYTES_MAX})"
                )
            if len(self.unread) < 5 + length:
                return
            message = bytes(self.unread[5 : 5 + length])
            del self.unread[: 5 + length]
            yield message


def _framed(message: bytes) -> bytes:
    return struct.pack(">BI", 0, len(message)) + message


# client


async def call(target: Target, method: str, message: bytes, timeout_seconds: float) -> bytes:
    """`method` is `/package.Service/Method`. RpcError, also when nobody listens (its cause is the OSError)."""
    try:
        async with asyncio.timeout(timeout_seconds), aclosing(answers(target, method, message)) as found:
            given = [one async for one in found]
    except TimeoutError:
        raise RpcError(DEADLINE_EXCEEDED, "context deadline exceeded") from None
    if len(given) != 1:
        raise RpcError(INTERNAL, f"{len(given)} answers instead of one")
    return given[0]


async def answers(target: Target, method: str, message: bytes) -> AsyncGenerator[bytes, None]:
    """Every message of the answer, until the server ends it. Close it (`aclosing`) to hang up earlier."""
    try:
        reader, writer = await target.connect()
    except OSError as error:
        where = f"unix {target.path}" if target.path else f"tcp {target.authority}"
        cause = (error.strerror or str(error)).lower()
        text = f'connection error: desc = "transport: Error while dialing: dial {where}: connect: {cause}"'
        raise RpcError(UNAVAILABLE, text) from error
    connection = http2.Connection(is_client=True)
    stream = connection.open(_request_headers(target, method))
    connection.send_data(stream, _framed(message), ends=True)
    messages = _Messages()
    try:
        while True:
            writer.write(connection.take())
            await writer.drain()
            data = await reader.read(READ_BYTES)
            if not data:
                raise RpcError(UNAVAILABLE, "error reading from server: EOF")
            for event in connection.receive(data):
                if isinstance(event, http2.Data):
                    for one in messages.feed(event.data):
                        yield one
                if _is_over(event):
                    return
    except (http2.Http2Error, ConnectionError) as error:
        raise RpcError(UNAVAILABLE, f"connection error: {error}") from None
    finally:
        writer.transport.abort()


def _request_headers(target: Target, method: str) -> Sequence[Header]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", method),
        (":authority", target.authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", target.agent),
    ]


def _is_over(event: http2.Event) -> bool:
    """Whether the call has ended well; RpcError when it has not."""
    if isinstance(event, http2.Reset):
        if event.stream == 0 and event.code == 0:
            return False  # no new calls; ours goes on
        raise RpcError(UNAVAILABLE, f"stream terminated by RST_STREAM with error code: {event.code}")
    if isinstance(event, http2.Data):
        if event.ends:
            raise RpcError(INTERNAL, "server closed the stream without sending trailers")
        return False
    found = dict(event.headers)
    status = found.get(":status", "200")
    if status != "200":
        code = UNIMPLEMENTED if status == "404" else UNKNOWN
        raise RpcError(code, f"unexpected HTTP status code received from server: {status}")
    if "grpc-status" in found:
        code = int(found["grpc-status"]) if found["grpc-status"].isdecimal() else UNKNOWN
        if code != OK:
            raise RpcError(code, unquote(found.get("grpc-message", "")))
        return True
    if event.ends:
        raise RpcError(INTERNAL, "server closed the stream without sending trailers")
    return False


# server


async def serve(listener: socket.socket, methods: Mapping[str, Method]) -> None:
    """Answer until cancelled; a connection that misbehaves ends alone. Keys are `/package.Service/Method`."""
    turns = asyncio.Semaphore(CONNECTIONS_MAX)
    async with asyncio.TaskGroup() as group:
        while True:
            await turns.acquire()
            # Not `sock_accept`: cancelled at the wrong moment it loses what it has accepted.
            await unix_sockets.called(listener)
            try:
                accepted, _ = listener.accept()
            except BlockingIOError:  # gave up already
                turns.release()
                continue
            accepted.setblocking(False)
            task = group.create_task(_serve_connection(accepted, methods), name="gRPC connection")
            task.add_done_callback(functools.partial(_ended, accepted, turns))


def _ended(accepted: socket.socket, turns: asyncio.Semaphore, _: asyncio.Task[None]) -> None:
    accepted.close()  # also of a task that was cancelled before it began
    turns.release()


async def _serve_connection(accepted: socket.socket, methods: Mapping[str, Method]) -> None:
    reader, writer = await asyncio.open_connection(sock=accepted)
    try:
        async with asyncio.TaskGroup() as group:
            calls = _Calls(writer, methods, group)
            while data := await reader.read(READ_BYTES):
                calls.receive(data)
                await writer.drain()
            calls.cancel()
    except* (http2.Http2Error, ConnectionError, RpcError) as errors:
        log.info("a gRPC connection has ended: %s", errors.exceptions[0])
    finally:
        writer.transport.abort()


class _Calls:
    """The calls of one connection."""

    def __init__(self, writer: asyncio.StreamWriter, methods: Mapping[str, Method], group: asyncio.TaskGroup) -> None:
        self._http = http2.Connection(is_client=False)
        self._writer = writer
        self._methods = methods
        self._group = group
        self._asked: dict[int, tuple[str, _Messages, list[bytes]]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def receive(self, data: bytes) -> None:
        for event in self._http.receive(data):
            self._handle(event)
        self._send()

    def cancel(self) -> None:
        for task in self._tasks.values():
            task.cancel()

    def _handle(self, event: http2.Event) -> None:
        if isinstance(event, http2.Reset):
            self._asked.pop(event.stream, None)
            if event.stream in self._tasks:
                self._tasks[event.stream].cancel()
            return
        if isinstance(event, http2.Headers):
            if len(self._asked) + len(self._tasks) >= CALLS_MAX:
                self._http.reset(event.stream, http2.REFUSED_STREAM)
                return
            self._asked[event.stream] = dict(event.headers).get(":path", ""), _Messages(), []
        elif event.stream in self._asked:
            _, messages, found = self._asked[event.stream]
            found.extend(messages.feed(event.data))
        if event.ends and event.stream in self._asked:
            path, _, found = self._asked.pop(event.stream)
            task = self._group.create_task(self._answer(event.stream, path, found), name=f"gRPC {path}")
            self._tasks[event.stream] = task
            task.add_done_callback(lambda _: self._tasks.pop(event.stream, None))

    async def _answer(self, stream: int, path: str, asked: list[bytes]) -> None:
        answer_headers = [(":status", "200"), ("content-type", "application/grpc")]
        self._http.send_headers(stream, answer_headers)
        try:
            method = self._methods.get(path)
            if method is None or len(asked) != 1:
                raise RpcError(UNIMPLEMENTED, f"unknown method {path}")
            async for message in method(asked[0]):
                self._http.send_data(stream, _framed(message))
                self._send()
                await self._writer.drain()
                if self._http.unsent_bytes(stream) > MESSAGE_BYTES_MAX:
                    raise RpcError(RESOURCE_EXHAUSTED, "the caller does not read its answers")
            status = RpcError(OK, "")
        except RpcError as error:
            status = error
        except Exception as error:
            log.exception("a gRPC call of %s failed", path)
            status = RpcError(INTERNAL, str(error))
        trailers = [
            ("grpc-status", str(status.code)),
            ("grpc-message", quote(status.message, safe=" !#$&'()*+,/:;=?@[]")),
        ]
        self._http.send_headers(stream, trailers, ends=True)
        self._send()

    def _send(self) -> None:
        data = self._http.take()
        if data:
            self._writer.write(data)
