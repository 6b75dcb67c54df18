"""
Mounts that the node makes itself: tmpfs for memory, bind mounts for subPath. A thin layer over mount(2).

What was mounted is read from the kernel, so that nothing is forgotten after a crash.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

MS_NOSUID = 2
MS_NODEV = 4
MS_BIND = 4096
MS_REC = 16384
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount_tmpfs(target: Path, options: str = "mode=0755") -> None:
    _check(_libc.mount(b"tmpfs", bytes(target), b"tmpfs", MS_NOSUID | MS_NODEV, options.encode()), f"mount {target}")


def bind(source: str, target: Path) -> None:
    """`source` may be /proc/self/fd/N: then the very file that was opened is mounted."""
    _check(_libc.mount(source.encode(), bytes(target), None, MS_BIND | MS_REC, None), f"bind {target}")


def unmount(target: Path) -> None:
    _check(_libc.umount2(bytes(target), MNT_DETACH | UMOUNT_NOFOLLOW), f"unmount {target}")


def below(path: Path) -> list[Path]:
    """The mount points at and below `path`, deepest first."""
    found = [point for point, _ in _all() if point.is_relative_to(path)]
    return sorted(found, key=lambda point: len(point.parts), reverse=True)


def unmount_below(path: Path) -> None:
    """Unmount everything at and below `path`, layers of one point included."""
    for point in below(path):
        unmount(point)


def is_mount(path: Path) -> bool:
    return path in below(path)


def is_in_memory(path: Path) -> bool:
    """Whether files made at `path` reach no disk: by the mount that shows, the last of the innermost."""
    holding = [(len(point.parts), kind) for point, kind in _all() if path.is_relative_to(point)]
    innermost = max(depth for depth, _ in holding)
    return [kind for depth, kind in holding if depth == innermost][-1] in ("tmpfs", "ramfs")


def _all() -> Iterator[tuple[Path, str]]:
    """(mount point, kind of file system) in the order in which they were mounted."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        yield Path(left.split(" ")[4].encode().decode("unicode_escape")), right.split(" ")[0]
