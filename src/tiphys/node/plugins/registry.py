"""
The directory in which programs show that they are there, each by a socket: storage drivers above all.

The kernel tells of changes; each time the whole directory is read and compared with what is known. What speaks with the
programs is imported when the first socket is there.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tiphys.node.inotify import Inotify

if TYPE_CHECKING:
    from tiphys.node.plugins.registrar import Info, Taker

IN_CREATE, IN_DELETE, IN_MOVED_FROM, IN_MOVED_TO = 0x100, 0x200, 0x40, 0x80
CHANGES = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO
DIRECTORIES_MAX = 64
SOCKETS_MAX = 100
RETRY_FIRST_SECONDS = 0.5
RETRY_MAX_SECONDS = 120.0

# A socket that was made anew is another one.
Identity = tuple[int, int]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Known:
    identity: Identity
    task: asyncio.Task[None]
    info: Info | None = None


class PluginRegistry:
    """`run()` until cancelled. `takers` gives who works with each kind of program (CSIPlugin, DevicePlugin)."""

    def __init__(self, directory: Path, takers: Callable[[], Mapping[str, Taker]]) -> None:
        self._directory = directory
        self._takers = takers
        self._known: dict[str, _Known] = {}
        self._changed = asyncio.Event()

    async def run(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        inotify = Inotify()
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    self._changed.clear()
                    self._watch(inotify)
                    await self._compare(sockets(self._directory), group)
                    await self._changed.wait()
        finally:
            inotify.close()

    def _watch(self, inotify: Inotify) -> None:
        """Watch before looking, so that nothing comes between. A directory that is watched already stays so."""
        for directory in directories(self._directory)[:DIRECTORIES_MAX]:
            try:
                inotify.watch(directory, CHANGES, lambda _: self._changed.set())
            except OSError as error:
                log.info("%s cannot be watched: %s", directory, error)

    async def _compare(self, found: Mapping[str, Identity], group: asyncio.TaskGroup) -> None:
        for path in [path for path, known in self._known.items() if found.get(path) != known.identity]:
            await self._forget(path)
        for path, identity in found.items():
            if path not in self._known and len(self._known) < SOCKETS_MAX:
                task = group.create_task(self._register(path), name=f"plugin {path}")
                self._known[path] = _Known(identity, task)

    async def _forget(self, path: str) -> None:
        known = self._known.pop(path)
        known.task.cancel()
        if known.info is not None and not self._is_named_by_another(known.info):
            log.info("%s %s is gone", known.info.kind, known.info.name)
            taker = self._takers().get(known.info.kind)
            if taker is not None:
                await taker.remove(known.info)

    def _is_named_by_another(self, info: Info) -> bool:
        """During an update the new one may be there before the old one is gone."""
        return any(other.info is not None and other.info.name == info.name for other in self._known.values())

    async def _register(self, path: str) -> None:
        """Until it has worked, or the socket is gone. The program may not listen yet."""
        from tiphys.node.plugins.registrar import Refused, ask, hand_over
        from tiphys.wire.grpc import RpcError

        delay = RETRY_FIRST_SECONDS
        while True:
            try:
                # Known before it is handed over: while that goes on, its predecessor may go.
                self._known[path].info = info = await ask(path)
                await hand_over(path, info, self._takers())
            except (RpcError, Refused) as error:
                log.warning("the plugin at %s is not registered (again in %.1f s): %s", path, delay, error)
                await asyncio.sleep(delay)
                delay = min(delay * 2, RETRY_MAX_SECONDS)
            else:
                log.info("%s %s is registered", info.kind, info.name)
                return


def directories(root: Path) -> list[Path]:
    """The directory and those in it."""
    return [Path(folder) for folder, _, _ in os.walk(root)]


def sockets(root: Path) -> dict[str, Identity]:
    """Every socket by its path; hidden ones are not for us."""
    found = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            try:
                status = os.lstat(path)
            except FileNotFoundError:
                continue
            if stat.S_ISSOCK(status.st_mode) and not name.startswith("."):
                found[path] = (status.st_ino, status.st_ctime_ns)
    return found
