"""
So many at once, the others in line.

asyncio.Semaphore does the same, but asks its waiters several times on every way through; here every request passes, and
nearly always there is room.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Gate:
    """`enter` before, `leave` after. Places are given in the order of the line, `waiting_max` long."""

    def __init__(self, places: int, waiting_max: int) -> None:
        self._free = places
        self._waiting_max = waiting_max
        self._line: deque[asyncio.Future[None]] = deque()

    def enter_at_once(self) -> bool:
        """Take a free place; False if there is none."""
        if self._free:
            self._free -= 1
            return True
        return False

    async def enter(self) -> bool:
        """Wait for a place; False, at once, if the line is full."""
        if self.enter_at_once():
            return True
        if len(self._line) >= self._waiting_max:
            return False
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the place came together with the cancellation
                self.leave()
            raise
        return True

    def leave(self) -> None:
        """Give the place to the first in line who still wants it."""
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
