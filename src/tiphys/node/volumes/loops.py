"""
Loop devices: files of this machine as disks. A thin layer over the ioctls of <linux/loop.h>.

Which file a device shows is asked of the kernel each time, so that nothing is forgotten after a crash. A file is never
attached twice: two devices would be two disks with one content, and a file system on both would be destroyed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path

_SYS_BLOCK = Path("/sys/block")
_CONTROL = Path("/dev/loop-control")
_CONFIGURE, _CLEAR, _GET_STATUS, _SET_CAPACITY = 0x4C0A, 0x4C01, 0x4C05, 0x4C07
_GET_FREE = 0x4C82
_AUTO_CLEAR = 4
# struct loop_info64: device, inode, rdevice, offset, size limit; number, encryption, key size, flags; names; key; init.
_INFO = struct.Struct("=5Q4I64s64s32s2Q")
# struct loop_config: descriptor, block size, loop_info64, reserved.
_CONFIG = struct.Struct(f"=2I{_INFO.size}s64s")
_FLAGS_INDEX = 8
# Others on this machine take free devices too.
_ATTEMPTS_MAX = 20


def attach(image: Path, *, lasting: bool) -> int:
    """
    A descriptor of the device that shows `image`, attached if it is not yet.

    Without `lasting` the device goes with its last user: mount it before the descriptor is closed.
    """
    for _ in range(_ATTEMPTS_MAX):
        found = find(image)
        if found is not None:
            handle = _open(found)
            if handle is not None and _shows(handle, image):
                return handle
            _close(handle)
        handle = _attach(image, lasting=lasting)
        if handle is not None:
            return handle
    raise OSError(errno.EBUSY, f"no loop device for {image}")


def find(image: Path) -> Path | None:
    """The device that shows `image`, if any."""
    for device, backing in devices():
        if backing == str(image):
            return device
    return None


def devices() -> list[tuple[Path, str]]:
    """Every device in use and the file that it shows; a file that was removed has " (deleted)" at the end."""
    found = []
    for entry in sorted(_SYS_BLOCK.glob("loop*")):
        try:
            backing = (entry / "loop" / "backing_file").read_text().rstrip("\n")
        except OSError:
            continue  # not in use, or no longer
        found.append((Path("/dev") / entry.name, backing))
    return found


def refresh_size(device: Path) -> None:
    """The file has grown: the device shows all of it."""
    handle = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(handle, _SET_CAPACITY, 0)
    finally:
        os.close(handle)


def detach(device: Path) -> None:
    """Idempotent; a device that is still open goes with its last user."""
    try:
        handle = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.ioctl(handle, _CLEAR, 0)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
    finally:
        os.close(handle)


def detach_below(directory: Path) -> None:
    """Of every file below the directory, removed ones too."""
    for device, backing in devices():
        if Path(backing.removesuffix(" (deleted)")).is_relative_to(directory):
            detach(device)


def path_of(handle: int) -> Path:
    """The device node of an open device."""
    return Path(os.readlink(f"/proc/self/fd/{handle}"))


def _attach(image: Path, *, lasting: bool) -> int | None:
    """None if another process took the device meanwhile."""
    control = os.open(_CONTROL, os.O_RDWR | os.O_CLOEXEC)
    try:
        number = fcntl.ioctl(control, _GET_FREE)
    finally:
        os.close(control)
    handle = _open(Path(f"/dev/loop{number}"))
    if handle is None:
        return None
    backing = os.open(image, os.O_RDWR | os.O_CLOEXEC)
    flags = 0 if lasting else _AUTO_CLEAR
    info = _INFO.pack(0, 0, 0, 0, 0, 0, 0, 0, flags, os.fsencode(image)[:63], b"", b"", 0, 0)
    try:
        fcntl.ioctl(handle, _CONFIGURE, _CONFIG.pack(backing, 0, info, b""))
    except OSError as error:
        os.close(handle)
        if error.errno != errno.EBUSY:
            raise
        return None
    finally:
        os.close(backing)
    return handle


def _open(device: Path) -> int | None:
    try:
        return os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENXIO, errno.EBUSY):
            return None
        raise


def _close(handle: int | None) -> None:
    if handle is not None:
        os.close(handle)


def _shows(handle: int, image: Path) -> bool:
    """Whether the device, held open now, still shows the very file."""
    answer = bytearray(_INFO.size)
    try:
        fcntl.ioctl(handle, _GET_STATUS, answer)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return False
        raise
    device, inode = _INFO.unpack(answer)[:2]
    status = image.stat()
    return bool(inode == status.st_ino and device == status.st_dev)
