"""
Where container logs lie and how they are read: `<logs>/NAMESPACE_NAME_UID/CONTAINER/ATTEMPT.log`.

Reading begins in the file that is; `follow` goes on over rotations until the container has ended. Nothing polls: a
follower sleeps until the kernel says that the file has grown.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from tiphys.node.inotify import IN_DELETE_SELF, IN_MODIFY, IN_MOVE_SELF, Inotify
from tiphys.node.log_lines import LogOptions, Printer

Pod = Mapping[str, Any]

CHUNK_BYTES = 64 * 1024


class LogLost(Exception):
    """The log file is not there: the run is too old, or it never wrote."""


def pod_directory(root: Path, pod: Pod) -> Path:
    meta = pod["metadata"]
    return root / f"{meta['namespace']}_{meta['name']}_{meta['uid']}"


def log_path(root: Path, pod: Pod, container: str, attempt: int) -> Path:
    return pod_directory(root, pod) / container / f"{attempt}.log"


def attempts_on_disk(root: Path, pod: Pod, container: str) -> list[int]:
    """The runs whose logs are there, oldest first; for pods whose containers are gone."""
    folder = pod_directory(root, pod) / container
    if not folder.is_dir():
        return []
    return sorted(int(path.stem) for path in folder.glob("*.log") if path.stem.isdecimal())


def remove_run(root: Path, pod: Pod, container: str, attempt: int) -> None:
    """The log of one run with all that was rotated away from it."""
    path = log_path(root, pod, container, attempt)
    for part in [path, *path.parent.glob(f"{path.name}.*")]:
        part.unlink(missing_ok=True)


def remove_pod(root: Path, pod: Pod) -> None:
    folder = pod_directory(root, pod)
    if folder.exists():
        shutil.rmtree(folder)


def last_text_lines(path: Path, count: int, bytes_max: int) -> list[bytes]:
    """The last lines that a container wrote, without their time stamps."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return []
    with file:
        file.seek(tail_offset(file, count))
        text = b"".join(Printer(LogOptions()).shown(file))
    return text[-bytes_max:].splitlines(keepends=True)


def tail_offset(file: BinaryIO, count: int) -> int:
    """Where the last `count` lines begin."""
    end = position = file.seek(0, 2)
    if count == 0:
        return end
    newlines = 0
    while position > 0:
        step = min(CHUNK_BYTES, position)
        position -= step
        file.seek(position)
        block = file.read(step)
        index = len(block)
        while (index := block.rfind(b"\n", 0, index)) >= 0:
            # The newline that ends the file ends the last line and begins none.
            if position + index + 1 < end:
                newlines += 1
                if newlines == count:
                    return position + index + 1
    return 0


async def read(path: Path, options: LogOptions, ended: asyncio.Event) -> AsyncIterator[bytes]:
    """The log as `kubectl logs` shows it; with `follow` until the run has `ended`. LogLost."""
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise LogLost(f"the log file {path.name} of the container is not there") from error
    printer = Printer(options)
    file.seek(tail_offset(file, options.tail) if options.tail >= 0 else 0)
    if not options.follow:
        with file:
            for chunk in _rest(file, printer):
                yield chunk
                await asyncio.sleep(0)
        return
    reader = _Follower(path, file, ended)
    try:
        async for chunk in reader.read(printer):
            yield chunk
    finally:
        reader.close()


def _rest(file: BinaryIO, printer: Printer) -> list[bytes]:
    """What whole lines are left in the file, joined in chunks; an unfinished line stays for later."""
    chunks: list[bytes] = []
    while not printer.is_full:
        start = file.tell()
        lines = file.readlines(CHUNK_BYTES)
        if lines and not lines[-1].endswith(b"\n"):
            file.seek(start + sum(len(line) for line in lines[:-1]))
            chunks.append(b"".join(printer.shown(lines[:-1])))
            break
        if not lines:
            break
        chunks.append(b"".join(printer.shown(lines)))
    return [chunk for chunk in chunks if chunk]


class _Follower:
    """One `logs -f`."""

    def __init__(self, path: Path, file: BinaryIO, ended: asyncio.Event) -> None:
        self._path = path
        self._file = file
        self._ended = ended
        self._news = asyncio.Event()
        self._inotify = Inotify()
        self._number = -1

    async def read(self, printer: Printer) -> AsyncIterator[bytes]:
        self._watch()
        ending = asyncio.create_task(self._wake_at_the_end())
        try:
            while not printer.is_full:
                self._news.clear()
                over = self._ended.is_set()
                for chunk in _rest(self._file, printer):
                    yield chunk
                if self._reopened():
                    continue
                if over:
                    return
                await self._news.wait()
        finally:
            ending.cancel()

    async def _wake_at_the_end(self) -> None:
        await self._ended.wait()
        self._news.set()

    def _watch(self) -> None:
        self._inotify.unwatch(self._number)
        mask = IN_MODIFY | IN_MOVE_SELF | IN_DELETE_SELF
        try:
            self._number = self._inotify.watch(self._path, mask, lambda _: self._news.set())
        except FileNotFoundError:
            self._number = -1  # just rotated: the next turn finds the new file

    def _reopened(self) -> bool:
        """After a rotation: go on at the beginning of the new file."""
        try:
            fresh = self._path.open("rb")
        except FileNotFoundError:
            return False
        if os.path.sameopenfile(fresh.fileno(), self._file.fileno()):
            fresh.close()
            return False
        self._file.close()
        self._file = fresh
        self._watch()
        return True

    def close(self) -> None:
        self._inotify.close()
        self._file.close()
