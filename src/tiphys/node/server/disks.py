"""
Sizes of directories, for whoever asks: walked in a thread, and kept for a minute.

Somebody who asks each second gets the sizes of the last walk at once. Only for directories that nobody has walked yet
the first to ask waits, for two seconds at most.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping

from tiphys.runtime.disk_usage import DiskUsage, measure

KEPT_SECONDS = 60.0
FIRST_SECONDS = 2.0


class Disks:
    """`sizes` of any number of directories; those that are not known yet are missing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, tuple[float, DiskUsage]] = {}
        self._walk: asyncio.Task[None] | None = None

    async def sizes(self, paths: Iterable[str]) -> Mapping[str, DiskUsage]:
        wanted = list(paths)
        now = self._clock()
        old = [path for path in wanted if path not in self._known or now - self._known[path][0] >= KEPT_SECONDS]
        if old and (self._walk is None or self._walk.done()):
            self._walk = asyncio.create_task(self._measure(old, wanted), name="sizes of directories")
        if self._walk is not None and any(path not in self._known for path in wanted):
            await asyncio.wait({self._walk}, timeout=FIRST_SECONDS)
        return {path: self._known[path][1] for path in wanted if path in self._known}

    async def _measure(self, paths: list[str], wanted: list[str]) -> None:
        found = await asyncio.to_thread(lambda: [(path, measure(path)) for path in paths])
        at = self._clock()
        # What nobody asks for any more belongs to pods that are gone.
        kept = set(wanted)
        self._known = {path: one for path, one in self._known.items() if path in kept}
        self._known |= {path: (at, usage) for path, usage in found}
