"""
subPath: a part of a volume, mounted without ever leaving it.

A container may write into the volume and put symlinks there while we resolve the path. So the kernel resolves it
(openat2 with RESOLVE_BENEATH) and what was opened is bind-mounted through its descriptor onto a path that only the node
can reach. To check the path and mount it by name afterwards would be a race that a container can win.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from pathlib import Path

from tiphys.node.volumes import mounts
from tiphys.node.volumes.context import VolumeProblem

_SYS_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_BENEATH = 0x08

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


def open_beneath(base: int, path: str, flags: int = os.O_PATH) -> int:
    """A descriptor of `path` below the directory `base`. OSError EXDEV when it leads outside."""
    how = _OpenHow(flags | os.O_CLOEXEC, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    handle = _libc.syscall(_SYS_OPENAT2, base, path.encode(), ctypes.byref(how), ctypes.sizeof(how))
    if handle < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return int(handle)


def open_or_make(base: int, path: str) -> int:
    """The same; directories that are missing on the way are made for whoever may use the volume itself."""
    handle = os.dup(base)
    mode = stat.S_IMODE(os.fstat(base).st_mode)
    parts = [part for part in path.split("/") if part not in ("", ".")]
    for index, part in enumerate(parts):
        prefix = "/".join(parts[: index + 1])
        try:
            following = open_beneath(base, prefix)
        except OSError as error:
            if error.errno != errno.ENOENT:
                os.close(handle)
                raise
            os.mkdir(part, 0o700, dir_fd=handle)
            following = open_beneath(base, prefix, os.O_PATH | os.O_NOFOLLOW)
            # Through what was opened: by its name it could be a symlink by now. And no umask applies.
            os.chmod(f"/proc/self/fd/{following}", mode)
        os.close(handle)
        handle = following
    return handle


def prepare(volume_path: str, subpath: str, target: Path) -> str:
    """Mount the part of a volume at `target` (idempotent); the path to hand to the runtime."""
    if mounts.is_mount(target):
        return str(target)
    try:
        base = os.open(volume_path, os.O_PATH | os.O_CLOEXEC)
        try:
            handle = open_or_make(base, subpath)
        finally:
            os.close(base)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.ELOOP):
            raise VolumeProblem(f'subPath "{subpath}" leads out of the volume') from error
        raise VolumeProblem(f'failed to prepare subPath "{subpath}": {error.strerror}') from error
    try:
        _make_place(target, is_directory=stat.S_ISDIR(os.fstat(handle).st_mode))
        mounts.bind(f"/proc/self/fd/{handle}", target)
    finally:
        os.close(handle)
    return str(target)


def _make_place(target: Path, *, is_directory: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    if is_directory:
        target.mkdir(exist_ok=True)
    else:
        target.touch()
