"""When data last went through a stream."""

from __future__ import annotations

import asyncio


class Activity:
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
