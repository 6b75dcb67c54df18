"""A raw client: what goes over the socket is what the test says."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tiphys.wire.messages import Handler
from tiphys.wire.server import HttpServer, start


class RawClient:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> str:
        return (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")

    async def answer(self) -> tuple[int, bytes]:
        """Status and body of an answer with Content-Length."""
        head = await self.head()
        length = next((int(line.split(": ")[1]) for line in head.split("\r\n") if line.startswith("Content-L")), 0)
        return int(head.split()[1]), await self.reader.readexactly(length)

    async def rest(self) -> bytes:
        return await self.reader.read()

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            pass


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[HttpServer]]]:
    """`await serve(handler, **options)`: a server that is closed after the test."""
    servers: list[HttpServer] = []

    async def make(handler: Handler, **options: object) -> HttpServer:
        servers.append(await start(handler, **options))
        return servers[-1]

    yield make
    for server in servers:
        await server.close()


@pytest.fixture
async def dial() -> AsyncIterator[Callable[..., Awaitable[RawClient]]]:
    """`await dial(server)`: a raw client that is closed after the test."""
    clients: list[RawClient] = []

    async def connect(server: HttpServer) -> RawClient:
        clients.append(RawClient(*await asyncio.open_connection("127.0.0.1", server.port)))
        return clients[-1]

    yield connect
    for client in clients:
        await client.close()
