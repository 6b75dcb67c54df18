"""
Network namespaces: made, pinned at a path, entered, dropped.

A namespace lives as long as something holds it; a bind mount on a file does, so no process is needed. Switching is a
property of the *thread*: these functions are called in worker threads of this room only, and always switch back.
Python 3.11 has no `os.setns`, so libc is asked directly.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterator
from pathlib import Path

CLONE_NEWNET = 0x40000000
MS_BIND, MS_REC, MS_SHARED = 0x1000, 0x4000, 1 << 20
MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def _mount(source: str, target: str, flags: int) -> None:
    _check(_libc.mount(source.encode(), target.encode(), b"none", flags, None), f"mount on {target}")


@contextlib.contextmanager
def _home() -> Iterator[None]:
    """Whatever happens inside, this thread ends in the namespace where it began."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        try:
            _check(_libc.setns(home, CLONE_NEWNET), "return from a network namespace")
        finally:
            os.close(home)


@contextlib.contextmanager
def entered(path: Path) -> Iterator[None]:
    """This thread is in the namespace pinned at `path`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with _home():
            _check(_libc.setns(descriptor, CLONE_NEWNET), f"enter {path}")
            yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def created(path: Path) -> Iterator[int]:
    """A fresh namespace, pinned at `path`; this thread is inside, and gets a descriptor of it."""
    with _home():
        _check(_libc.unshare(CLONE_NEWNET), "make a network namespace")
        path.touch(mode=0o444, exist_ok=False)
        _mount("/proc/thread-self/ns/net", str(path), MS_BIND)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def prepare_directory(directory: Path) -> None:
    """Make pins in `directory` reach mount namespaces that exist already, where the mounts are shared."""
    directory.mkdir(parents=True, exist_ok=True)
    if not _is_mount_point(directory):
        _mount(str(directory), str(directory), MS_BIND | MS_REC)
    _mount("none", str(directory), MS_SHARED | MS_REC)


def remove_directory(directory: Path) -> None:
    """Undo `prepare_directory`. The directory is empty by now."""
    if not directory.is_dir():
        return
    _unmount(directory)
    directory.rmdir()


def is_pinned(path: Path) -> bool:
    """Whether `path` holds a namespace; a bare file is what a reboot leaves."""
    try:
        return os.stat(path).st_dev != os.stat(path.parent).st_dev
    except FileNotFoundError:
        return False


def drop(path: Path) -> None:
    """Unpin. The namespace ends with its last process. A path that is gone is no error."""
    _unmount(path)
    path.unlink(missing_ok=True)


def _is_mount_point(path: Path) -> bool:
    """Also for a directory bound on itself, which os.path.ismount cannot tell."""
    wanted = str(path.resolve()).replace(" ", "\\040")
    return any(line.split()[4] == wanted for line in Path("/proc/self/mountinfo").read_text().splitlines())


def _unmount(path: Path) -> None:
    try:
        _check(_libc.umount2(str(path).encode(), MNT_DETACH), f"unmount {path}")
    except OSError as error:
        # Not a mount point, or no such file: it is gone already.
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise
