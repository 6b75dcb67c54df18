"""
The directory of manifests: read at the start and whenever the kernel says that something in it has changed.

A file that cannot be read as a pod counts as it did before, as long as it is there: who writes it may not be done yet.
Names that begin with a dot are nobody's manifest.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tiphys.aio.clock import Clock
from tiphys.node.inotify import Inotify
from tiphys.node.static import manifest

Object = dict[str, Any]

IN_ATTRIB, IN_CLOSE_WRITE, IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE = 0x4, 0x8, 0x40, 0x80, 0x100, 0x200
IN_DELETE_SELF, IN_MOVE_SELF = 0x400, 0x800
CHANGES = IN_ATTRIB | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE
GONE = IN_DELETE_SELF | IN_MOVE_SELF
FILE_BYTES_MAX = 1 << 20
# A directory that was taken away is made again after this.
RETRY_SECONDS = 5.0

log = logging.getLogger(__name__)


class Folder:
    """`found` is called with the pods of all files, by path, whenever they may be others."""

    def __init__(
        self, directory: Path, node_name: str, now: Clock, found: Callable[[Mapping[str, Object]], None]
    ) -> None:
        self._directory = directory
        self._node_name = node_name
        self._now = now
        self._found = found
        self._pods: dict[str, Object] = {}
        self._contents: dict[str, bytes] = {}

    def read(self) -> None:
        """Look at every file now."""
        there = sorted(path for path in self._directory.glob("*") if path.is_file() and not path.name.startswith("."))
        contents = {str(path): _content(path) for path in there}
        for path in self._pods.keys() - contents.keys():
            del self._pods[path]
        for path, content in contents.items():
            if content is not None and content != self._contents.get(path):
                self._read(path, content)
        self._contents = {path: content for path, content in contents.items() if content is not None}
        self._found(dict(self._pods))

    def _read(self, path: str, content: bytes) -> None:
        try:
            self._pods[path] = manifest.read(content, path, self._node_name, self._now())
        except manifest.ManifestError as error:
            log.warning("the static pod of %s is not taken: %s", path, error)

    async def run(self) -> None:
        """Follow the directory until cancelled."""
        while True:
            try:
                self._directory.mkdir(parents=True, exist_ok=True)
                await self._follow()
            except OSError as error:
                log.warning("static pods in %s cannot be followed, trying again: %s", self._directory, error)
            await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self) -> None:
        """Until the directory is gone."""
        changed, masks = asyncio.Event(), [0]
        events = Inotify()

        def note(mask: int) -> None:
            masks[0] |= mask
            changed.set()

        try:
            events.watch(self._directory, CHANGES | GONE, note)
            while not masks[0] & GONE:
                changed.clear()
                self.read()
                await changed.wait()
            self.read()
        finally:
            events.close()


def _content(path: Path) -> bytes | None:
    """None for one that is gone by now, or is no manifest by its size."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        log.warning("the manifest %s cannot be read: %s", path, error)
        return None
    if len(content) > FILE_BYTES_MAX:
        log.warning("the manifest %s is larger than %d bytes", path, FILE_BYTES_MAX)
        return None
    return content
