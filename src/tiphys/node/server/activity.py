"""When data last went through a stream, and whether its client is still there."""

from __future__ import annotations

import asyncio
from typing import Protocol

from tiphys.wire.link import ConnectionLost


class Pinged(Protocol):
    async def ping(self) -> None: ...


class Activity:
    """Pings do not count."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.last = self._loop.time()

    def touch(self) -> None:
        self.last = self._loop.time()

    async def idle(self, seconds: float) -> None:
        """Returns once nothing was touched for so long."""
        left = seconds
        while left > 0:
            await asyncio.sleep(left)
            left = self.last + seconds - self._loop.time()


async def until_lost(client: Pinged, seconds: float) -> None:
    """
    Returns once a ping cannot be sent.

    A connection that is not read for want of room tells nothing of its end; to write on it does.
    """
    try:
        while True:
            await asyncio.sleep(seconds)
            await client.ping()
    except ConnectionLost:
        return
