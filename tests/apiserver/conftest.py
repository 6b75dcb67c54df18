"""A bare API server over a memory store, asked in-process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from tiphys.apiserver.cache import Cache
from tiphys.apiserver.server import ApiServer, Extras, Settings
from tiphys.store.memory import MemoryStore
from tiphys.wire.messages import Identity, Request, Response

ADMIN = Identity("admin", ("system:masters", "system:authenticated"))
TYPES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


@dataclass
class Answer:
    status: int
    body: Any
    headers: dict[str, str]

    @property
    def message(self) -> str:
        return self.body["message"]


class Asker:
    """Speaks to the handler as a client would."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server

    async def raw(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        sent = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        named = {"content-type": "application/json"} if body is not None else {}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.server.handle(Request(method, path, named, sent, identity=ADMIN))

    async def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        response = await self.raw(method, path, body, **headers)
        assert isinstance(response.body, bytes)
        kind = dict(response.headers).get("content-type", "")
        parsed = orjson.loads(response.body) if "json" in kind else response.body
        return Answer(response.status, parsed, dict(response.headers))

    async def patch(self, kind: str, path: str, body: Any) -> Answer:
        return await self("PATCH", path, body, content_type=TYPES[kind])

    async def watch(self, path: str, until: int = 100) -> list[dict[str, Any]]:
        """All events of a watch that ends by itself, or the first `until` ones."""
        response = await self.raw("GET", path)
        events: list[dict[str, Any]] = []
        assert not isinstance(response.body, bytes), response.body
        async for chunk in response.body:
            events += [orjson.loads(line) for line in chunk.splitlines()]
            if len(events) >= until:
                await response.body.aclose()
                break
        return events


Serve = Callable[..., Awaitable[Asker]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start servers over memory stores; they stop after the test."""
    following: list[asyncio.Task[None]] = []

    async def start(extras: Callable[[Cache], Extras] | None = None, settings: Settings | None = None) -> Asker:
        server = ApiServer(MemoryStore(), settings, extras=extras)
        await server.start()
        following.append(asyncio.create_task(server.run()))
        await server.boot()
        asker = Asker(server)
        await asker("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})
        return asker

    yield start
    for task in following:
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)


@pytest.fixture
async def ask(serve: Serve) -> Asker:
    """A server with nothing but the verbs."""
    return await serve()
