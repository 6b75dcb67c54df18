"""LIST 10,000 ConfigMaps, whole and in the first page of 500."""

from __future__ import annotations

import asyncio

from benchmarks.frame import Figure, Server, bare_server, config_map, wrk

from tiphys.api import resources

OBJECTS = 10_000
PATH = "/api/v1/namespaces/default/configmaps"


def measure() -> list[Figure]:
    with bare_server() as server:
        asyncio.run(fill(server, OBJECTS))
        whole = wrk(server, PATH, clients=4).per_second
        page = wrk(server, PATH + "?limit=500", clients=4).per_second
    return [
        Figure("LIST 10,000 ConfigMaps, 4 clients", whole, 150, "/s", kubernetes=29),
        Figure("LIST limit=500 of them, 4 clients", page, 2_000, "/s", kubernetes=371),
    ]


async def fill(server: Server, count: int) -> None:
    """Create this many ConfigMaps, sixteen at a time."""
    client, config_maps = server.client(), resources.get("", "v1", "configmaps")
    names = iter(range(count))

    async def creator() -> None:
        for number in names:
            await client.create(config_maps, config_map(f"filled-{number:05}"), "default")

    async with asyncio.TaskGroup() as tasks:
        for _ in range(16):
            tasks.create_task(creator())
