"""
The system calls that Python 3.11 has no name for: mounts, namespaces, opening a path inside a root.

Namespaces and the working directory are properties of a *thread* once it has said so: what changes them runs in worker
threads of this room only, and always switches back.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
from collections.abc import Iterator
from pathlib import Path

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x1, 0x2, 0x4, 0x8
MS_BIND, MS_REC, MS_PRIVATE, MS_SLAVE = 0x1000, 0x4000, 1 << 18, 1 << 19
MNT_DETACH = 2
CLONE_FS, CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWNET = 0x200, 0x20000, 0x4000000, 0x8000000, 0x40000000

_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442  # the same on every architecture
_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC, _AT_RECURSIVE, _AT_EMPTY_PATH = 1, os.O_CLOEXEC, 0x8000, 0x1000
_MOVE_MOUNT_F_EMPTY_PATH, _MOUNT_ATTR_IDMAP, _AT_FDCWD = 0x4, 0x100000, -100
_RESOLVE_NO_MAGICLINKS, _RESOLVE_IN_ROOT = 0x02, 0x10
_OPENAT2 = 437  # the same on every architecture

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


class _MountAttr(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "namespace")]


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    done = _libc.mount(source.encode(), target.encode(), kind.encode(), flags, options.encode())
    _check(done, f"mount {kind} on {target}")


def mount_mapped(source: Path, target: Path, namespace: int, *, recursive: bool) -> None:
    """
    Mount a file or a directory a second time, with owners shifted as the user namespace maps them (Linux 5.12), with
    the mounts below it or without.
    """
    below = _AT_RECURSIVE if recursive else 0
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | below
    tree = _check(_libc.syscall(_OPEN_TREE, _AT_FDCWD, str(source).encode(), flags), f"open the tree {source}")
    try:
        attributes = _MountAttr(_MOUNT_ATTR_IDMAP, 0, 0, namespace)
        mapped = _libc.syscall(
            _MOUNT_SETATTR,
            tree,
            b"",
            _AT_EMPTY_PATH | below,
            ctypes.byref(attributes),
            ctypes.sizeof(attributes),
        )
        _check(mapped, f"shift the owners in {source}")
        moved = _libc.syscall(_MOVE_MOUNT, tree, b"", _AT_FDCWD, str(target).encode(), _MOVE_MOUNT_F_EMPTY_PATH)
        _check(moved, f"mount on {target}")
    finally:
        os.close(tree)


def unmount(path: Path) -> None:
    """Detach. A path that is no mount point, or is gone, is no error."""
    try:
        _check(_libc.umount2(str(path).encode(), MNT_DETACH), f"unmount {path}")
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags), "unshare")


def setns(descriptor: int, flags: int = 0) -> None:
    _check(_libc.setns(descriptor, flags), "enter a namespace")


def sethostname(name: str) -> None:
    encoded = name.encode()
    _check(_libc.sethostname(encoded, len(encoded)), f"set the host name {name}")


def pin(kind: str, path: Path) -> None:
    """Keep this thread's namespace of a kind at a path."""
    path.touch(mode=0o444)
    mount(f"/proc/thread-self/ns/{kind}", str(path), "none", MS_BIND)


def is_pinned(path: Path) -> bool:
    """Whether a path holds a namespace or a mount; a bare file is what a reboot leaves."""
    try:
        return os.stat(path).st_dev != os.stat(path.parent).st_dev
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def returning(*kinds: str) -> Iterator[None]:
    """Whatever happens inside, this thread ends in the namespaces where it began."""
    homes = [os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in kinds]
    try:
        yield
    finally:
        try:
            for home in homes:
                setns(home)
        finally:
            for home in homes:
                os.close(home)


def open_in_root(root: Path, path: str) -> int:
    """Open a file for reading as a process whose root is `root` would: no link leads out."""
    directory = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Not blocking, so that a FIFO in an image cannot hold us up.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
        how = _OpenHow(flags, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
        found = _libc.syscall(_OPENAT2, directory, path.encode(), ctypes.byref(how), ctypes.sizeof(how))
        return _check(found, f"open {path} in {root}")
    finally:
        os.close(directory)


def capabilities() -> int:
    """The bits that this process can give away at all: no container gets more."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            return int(line.split()[1], 16)
    return 0


def machine() -> str:
    return platform.machine()


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
