"""File events from the kernel: one inotify descriptor, callbacks on the event loop."""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
from collections.abc import Callable
from pathlib import Path

IN_MODIFY = 0x2
IN_MOVE_SELF = 0x800
IN_DELETE_SELF = 0x400
IN_ONESHOT = 0x80000000
_IN_IGNORED = 0x8000
_EVENT = struct.Struct("iIII")
_READ_BYTES = 64 * 1024

_libc = ctypes.CDLL(None, use_errno=True)


class Inotify:
    """
    `watch` calls back with the event's mask. The kernel has one watch for each file and descriptor, so each use
    (rotation, one follower) opens its own Inotify.
    """

    def __init__(self) -> None:
        self._descriptor = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._descriptor < 0:
            raise _failure("inotify_init1")
        self._callbacks: dict[int, Callable[[int], None]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._descriptor, self._read)

    def watch(self, path: Path, mask: int, callback: Callable[[int], None]) -> int:
        """OSError when the file is not there. The number is what `unwatch` takes."""
        number = _libc.inotify_add_watch(self._descriptor, os.fsencode(path), ctypes.c_uint32(mask))
        if number < 0:
            raise _failure(str(path))
        self._callbacks[number] = callback
        return int(number)

    def unwatch(self, number: int) -> None:
        """Idempotent."""
        if self._callbacks.pop(number, None) is not None:
            _libc.inotify_rm_watch(self._descriptor, number)

    def close(self) -> None:
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
            self._callbacks.clear()

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        offset = 0
        while offset < len(data):
            number, mask, _, length = _EVENT.unpack_from(data, offset)
            offset += _EVENT.size + length
            callback = self._callbacks.get(number)
            if mask & _IN_IGNORED:
                self._callbacks.pop(number, None)
            elif callback is not None:
                callback(mask)


def _failure(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), what)
