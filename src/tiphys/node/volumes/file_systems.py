"""
ext4 in files: made, grown, mounted. A thin layer over e2fsprogs and mount(8); OSError with their own words.
"""

from __future__ import annotations

import errno
import os
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

_SUPERBLOCK_AT, _SUPERBLOCK_BYTES, _MAGIC = 1024, 1024, 0xEF53
_COMMAND_SECONDS_MAX = 600.0
# e2fsck: 1 says that it has corrected something.
_CORRECTED = (0, 1)


def make(image: Path) -> None:
    """
    An ext4 file system over the whole file.

    Nothing is held back for root: who asked for a gibibyte shall have it. What is not written takes no space.
    """
    run(["mkfs.ext4", "-q", "-F", "-m", "0", "-b", "4096", "-E", "nodiscard,lazy_itable_init=1", str(image)])


def size_bytes(image: Path) -> int:
    """How large the ext4 in the file is; 0 if there is none."""
    with image.open("rb") as file:
        file.seek(_SUPERBLOCK_AT)
        block = file.read(_SUPERBLOCK_BYTES)
    if len(block) < _SUPERBLOCK_BYTES or struct.unpack_from("<H", block, 0x38)[0] != _MAGIC:
        return 0
    low, high = struct.unpack_from("<I", block, 0x04)[0], struct.unpack_from("<I", block, 0x150)[0]
    return int((low | high << 32) * (1024 << struct.unpack_from("<I", block, 0x18)[0]))


def grow_unmounted(image: Path) -> None:
    """To the whole of its file, which no device shows."""
    run(["e2fsck", "-f", "-p", str(image)], good=_CORRECTED)
    run(["resize2fs", str(image)])


def grow_mounted(device: Path) -> bool:
    """To the whole of its device; False where the host withholds the privilege (CAP_SYS_RESOURCE) from us."""
    try:
        run(["resize2fs", str(device)])
    except PermissionError:
        return False
    return True


def mount(device: Path, target: Path, options: Sequence[str]) -> None:
    """Blocks that are freed inside are given back to the disk."""
    run(["mount", "-t", "ext4", "-o", ",".join(("discard", *options)), str(device), str(target)])


def run(words: Sequence[str], *, good: Sequence[int] = (0,)) -> None:
    """The command, which must end well. PermissionError where the host withholds a privilege."""
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS_MAX,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        package = "mount" if words[0] == "mount" else "e2fsprogs"
        raise OSError(errno.ENOENT, f"{words[0]} is missing: install {package}") from None
    except subprocess.TimeoutExpired:
        raise OSError(errno.ETIMEDOUT, f"{words[0]} did not end within {_COMMAND_SECONDS_MAX:.0f} s") from None
    if done.returncode in good:
        return
    said = (done.stderr or done.stdout).strip().splitlines()
    reason = said[-1] if said else f"exit code {done.returncode}"
    number = errno.EPERM if "Permission denied" in reason else errno.EIO
    raise OSError(number, f"{words[0]}: {reason}")


def sync(path: Path) -> None:
    """What the file or directory holds is on disk when this returns."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
