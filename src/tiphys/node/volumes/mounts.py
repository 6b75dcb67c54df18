"""
Mounts that the node makes itself: tmpfs for memory, bind mounts for subPath. A thin layer over mount(2).

What was mounted is read from the kernel, so that nothing is forgotten after a crash.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MS_NOSUID = 2
MS_NODEV = 4
MS_BIND = 4096
MS_REC = 16384
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Mount:
    """`root` is the part of its file system that shows at `point`; `device` is the number of what the files lie on."""

    point: Path
    root: str
    device: int
    kind: str


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
    found = [mount.point for mount in read() if mount.point.is_relative_to(path)]
    return sorted(found, key=lambda point: len(point.parts), reverse=True)


def unmount_below(path: Path) -> None:
    """Unmount everything at and below `path`, layers of one point included."""
    for point in below(path):
        unmount(point)


def is_mount(path: Path) -> bool:
    return path in below(path)


def is_in_memory(path: Path) -> bool:
    """Whether files made at `path` reach no disk: by the mount that shows, the last of the innermost."""
    holding = [(len(mount.point.parts), mount.kind) for mount in read() if path.is_relative_to(mount.point)]
    innermost = max(depth for depth, _ in holding)
    return [kind for depth, kind in holding if depth == innermost][-1] in ("tmpfs", "ramfs")


def read() -> Iterator[Mount]:
    """All that this process sees, in the order in which they were mounted."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        _, _, numbers, root, point = left.split(" ")[:5]
        major, _, minor = numbers.partition(":")
        device = os.makedev(int(major), int(minor))
        yield Mount(Path(_plain(point)), _plain(root), device, right.split(" ")[0])


def _plain(path: str) -> str:
    """Blanks and the like are written as octal numbers."""
    return path.encode().decode("unicode_escape")
