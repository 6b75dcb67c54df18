"""What the API server holds with 10,000 ConfigMaps."""

from __future__ import annotations

import asyncio

from benchmarks.frame import Figure, bare_server
from benchmarks.list.measure import OBJECTS, fill


def measure() -> list[Figure]:
    with bare_server() as server:
        asyncio.run(fill(server, OBJECTS))
        held = server.memory_mb()
    return [Figure("memory of the API server with 10,000 small objects", held, 150, "MB", kubernetes=680, at_most=True)]
