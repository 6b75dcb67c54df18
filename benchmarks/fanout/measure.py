"""One write seen by 1,000 watchers: from sending the write to each watcher's having read the event, over TLS."""

from __future__ import annotations

import asyncio
import gc
import time

from benchmarks.frame import Figure, Server, bare_server

from tiphys.wire.messages import Request
from tiphys.wire.pool import HttpPool, PoolLimits

WATCHERS, WRITES = 1_000, 30
PATH = "/api/v1/namespaces/default/configmaps"
SECONDS_MAX = 60.0


def measure() -> list[Figure]:
    with bare_server() as running:
        delays = sorted(asyncio.run(_delays(running)))
    p99 = delays[int(len(delays) * 0.99)] * 1000
    return [Figure("one write seen by 1,000 watchers, p99", p99, 20, "ms", at_most=True)]


async def _delays(running: Server) -> list[float]:
    """Every watcher's delay for every write, in seconds."""
    running.kubectl("create", "configmap", "seen", "--from-literal=number=0")
    pool = running.pool(limits=PoolLimits(connections_max=WATCHERS + 1))
    seen: list[list[float]] = [[] for _ in range(WRITES)]
    delays: list[float] = []
    gc.disable()  # the collector's pauses here would be counted as the server's
    async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as tasks:
        watching = [tasks.create_task(_watch(pool, seen)) for _ in range(WATCHERS)]
        await asyncio.sleep(3)  # all are connected
        for number in range(WRITES):
            sent = time.perf_counter()
            body = b'{"data":{"number":"n%d"}}' % number
            headers = {"content-type": "application/merge-patch+json"}
            await pool(Request("PATCH", PATH + "/seen", headers, body))
            while len(seen[number]) < WATCHERS:
                await asyncio.sleep(0.01)
            delays += [at - sent for at in seen[number]]
        for each in watching:
            each.cancel()
    await pool.close()
    gc.enable()
    return delays


async def _watch(pool: HttpPool, seen: list[list[float]]) -> None:
    answer = await pool(Request("GET", PATH + "?watch=1"))
    assert not isinstance(answer.body, bytes)
    async for data in answer.body:
        now = time.perf_counter()
        at = data.find(b'"number":"n')
        if at >= 0:
            seen[int(data[at + 11 : data.index(b'"', at + 11)])].append(now)
