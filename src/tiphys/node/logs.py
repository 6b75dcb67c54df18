"""
Keeps container logs below their size: rotated when they have grown, never on a timer.

A watch that fires once tells of the first write; then the size is looked at, and only a container that goes on writing
is looked at again some seconds later. A silent container costs nothing.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiphys.node import log_files
from tiphys.node.inotify import IN_MODIFY, IN_ONESHOT, Inotify
from tiphys.node.settings import NodeSettings
from tiphys.runtime.door import Runtime, RuntimeFailure

Pod = Mapping[str, Any]

# How long a chatty container writes before its log is looked at again.
LOOK_AGAIN_SECONDS = 5.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Kept:
    path: Path
    watch: int = -1
    timer: asyncio.TimerHandle | None = None


class Logs:
    """The log files of this node's containers."""

    def __init__(self, runtime: Runtime, settings: NodeSettings) -> None:
        self._runtime = runtime
        self._root = settings.log_dir
        self._bytes_max = settings.log_bytes_max
        self._files_max = settings.log_files_max
        self._inotify: Inotify | None = None
        self._kept: dict[str, _Kept] = {}
        self._grown: asyncio.Queue[str] = asyncio.Queue()  # at most one entry for each kept log

    @property
    def root(self) -> Path:
        return self._root

    def path(self, pod: Pod, container: str, attempt: int) -> Path:
        return log_files.log_path(self._root, pod, container, attempt)

    def keep(self, run_id: str, path: Path) -> None:
        """From now on rotate this log; the container has just begun."""
        self._kept[run_id] = _Kept(path)
        self._arm(run_id)

    def forget(self, run_id: str) -> None:
        kept = self._kept.pop(run_id, None)
        if kept is None:
            return
        if kept.timer is not None:
            kept.timer.cancel()
        if self._inotify is not None:
            self._inotify.unwatch(kept.watch)

    async def run(self) -> None:
        """Rotate until cancelled."""
        self._inotify = Inotify()
        try:
            for run_id in self._kept:
                self._arm(run_id)
            while True:
                await self._look(await self._grown.get())
        finally:
            for run_id in list(self._kept):
                self.forget(run_id)
            self._inotify.close()
            self._inotify = None

    def _arm(self, run_id: str) -> None:
        kept = self._kept.get(run_id)
        if kept is None or self._inotify is None:
            return
        kept.timer = None
        try:
            kept.watch = self._inotify.watch(
                kept.path, IN_MODIFY | IN_ONESHOT, lambda _: self._grown.put_nowait(run_id)
            )
            # What was written since the last look, before this watch, is told by no event.
            if kept.path.stat().st_size > self._bytes_max:
                self._inotify.unwatch(kept.watch)
                self._grown.put_nowait(run_id)
        except OSError as error:
            log.warning("the log %s cannot be watched, it will not be rotated: %s", kept.path, error)

    async def _look(self, run_id: str) -> None:
        kept = self._kept.get(run_id)
        if kept is None:
            return
        try:
            if kept.path.stat().st_size > self._bytes_max:
                await self._rotate(run_id, kept.path)
        except (OSError, RuntimeFailure) as error:
            log.warning("the log %s could not be rotated: %s", kept.path, error)
        kept.timer = asyncio.get_running_loop().call_later(LOOK_AGAIN_SECONDS, self._arm, run_id)

    async def _rotate(self, run_id: str, path: Path) -> None:
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        path.rename(path.with_name(f"{path.name}.{stamp}"))
        await self._runtime.reopen_log(run_id)
        await asyncio.to_thread(self.tidy, path)

    def tidy(self, path: Path) -> None:
        """Compress what was rotated before the last time, and drop the oldest beyond the limit."""
        rotated = sorted(p for p in path.parent.glob(f"{path.name}.*") if not p.name.endswith(".tmp"))
        # The live file and the newest rotated one stay as they are; a follower may still read there.
        surplus = max(len(rotated) - (self._files_max - 1), 0)
        for old in rotated[:surplus]:
            old.unlink()
        for plain in rotated[surplus:-1]:
            if plain.suffix != ".gz":
                compress(plain)


def compress(path: Path) -> None:
    temporary = path.with_name(f"{path.name}.tmp")
    with path.open("rb") as source, gzip.open(temporary, "wb") as target:
        while block := source.read(1 << 20):
            target.write(block)
    temporary.rename(path.with_name(f"{path.name}.gz"))
    path.unlink()
