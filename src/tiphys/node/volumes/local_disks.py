"""
The volumes of `tiphys.io/local-path` on this machine: each a sparse file of the size that was asked for.

`<volumes_dir>/<volume>/` holds `image`, the file, and `disk`, where its ext4 is mounted while a pod uses it; the data
are in `disk/data`, beside ext4's own lost+found. A volume of mode Block is the file alone, shown by a loop device. The
file system ends where the file ends, so ENOSPC comes from the kernel, whatever a program does.

Rejected: project quotas, which few file systems are made with and which give no block device; and a directory whose
size is looked at now and then, which is no limit.

Crash-safe: a file gets its name when it is complete and on disk, what is removed is renamed first, and who uses a
volume is read from the kernel's mounts, never remembered.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tiphys.node.volumes import file_systems, loops, mounts
from tiphys.node.volumes.mounts import Mount

IMAGE, DISK, DATA = "image", "disk", "data"
_UNFINISHED, _REMOVED = ".unfinished", ".removed"
BLOCK_BYTES = 4096
_FREE_LOOKS_MAX, _FREE_LOOK_SECONDS = 50, 0.02


class InUse(Exception):
    """A pod still has the volume; the message names it."""


@dataclass(frozen=True, slots=True)
class Disk:
    """One volume: its name, its size, what it is to pods, and how it is mounted."""

    name: str
    size_bytes: int
    is_block: bool = False
    options: Sequence[str] = ()


class LocalDisks:
    """Everything blocks: call it from a thread. One operation at a time, so that nobody unmounts what another opens."""

    def __init__(self, directory: Path, pods_dir: Path) -> None:
        self._directory = directory
        self._pods_dir = pods_dir
        self._lock = threading.Lock()

    def open(self) -> None:
        """Make the directory; what an earlier process began to remove goes."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        for entry in self._directory.glob(f"*{_REMOVED}"):
            shutil.rmtree(entry)

    def bind(self, disk: Disk, target: Path, prepare: Callable[[Path], None] | None = None) -> None:
        """
        Make, grow, mount the volume as needed and show it at `target`: a directory, or a file that is the device.

        `prepare` is called with the directory of the data before its first user sees it.
        """
        with self._lock:
            self._make(disk)
            source = self._attach(disk) if disk.is_block else self._mount(disk)
            if mounts.is_mount(target):
                return
            if prepare is not None and not disk.is_block and not self._users(disk.name):
                prepare(source)
            if disk.is_block:
                target.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
                target.touch()
            else:
                target.mkdir(parents=True, exist_ok=True)
            mounts.bind(str(source), target)

    def grow(self, disk: Disk) -> bool:
        """While pods use it; whether everything of the new size can be used now."""
        with self._lock:
            image = self._image(disk.name)
            if not image.exists():
                return False
            if image.stat().st_size < _rounded(disk.size_bytes):
                os.truncate(image, _rounded(disk.size_bytes))
            device = loops.find(image)
            if device is not None:
                loops.refresh_size(device)
            if disk.is_block:
                return True
            if file_systems.size_bytes(image) >= image.stat().st_size:
                return True
            return device is not None and file_systems.grow_mounted(device)

    def close_unused(self) -> None:
        """Unmount and detach what no pod shows any more."""
        with self._lock:
            opened = self._opened()
            shown = self._shown() if opened else []
            for name, device in opened.items():
                if not _points_of(device, shown):
                    self._close(self._directory / name)

    def close_all(self) -> None:
        """Before the machine, or all of it, goes."""
        with self._lock:
            for entry in self._entries():
                self._close(entry)

    def remove(self, name: str) -> None:
        """The data are gone when this returns. Idempotent; InUse while a pod has the volume."""
        with self._lock:
            users = self._users(name)
            if users:
                raise InUse(f"{name} is still mounted at {users[0]}")
            entry, doomed = self._directory / name, self._directory / (name + _REMOVED)
            if entry.exists():
                self._close(entry)
                entry.rename(doomed)
                file_systems.sync(self._directory)
        if doomed.exists():
            shutil.rmtree(doomed)

    def shown_at(self, target: Path) -> str:
        """The volume that is bound there; "" if none of ours is."""
        shown = self._shown()
        opened = self._opened().items()
        return next((name for name, device in opened if target in _points_of(device, shown)), "")

    # parts

    def _image(self, name: str) -> Path:
        return self._directory / name / IMAGE

    def _entries(self) -> list[Path]:
        return [entry for entry in sorted(self._directory.glob("*")) if (entry / IMAGE).exists()]

    def _make(self, disk: Disk) -> None:
        image = self._image(disk.name)
        if image.exists():
            return
        image.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        unfinished = image.with_name(IMAGE + _UNFINISHED)
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=0o600)
        os.truncate(unfinished, _rounded(disk.size_bytes))
        if not disk.is_block:
            file_systems.make(unfinished)
        file_systems.sync(unfinished)
        unfinished.rename(image)
        file_systems.sync(image.parent)
        file_systems.sync(self._directory)

    def _attach(self, disk: Disk) -> Path:
        image = self._image(disk.name)
        if image.stat().st_size < _rounded(disk.size_bytes):
            os.truncate(image, _rounded(disk.size_bytes))
        handle = loops.attach(image, lasting=True)
        try:
            return loops.path_of(handle)
        finally:
            os.close(handle)

    def _mount(self, disk: Disk) -> Path:
        image, target = self._image(disk.name), self._directory / disk.name / DISK
        if not mounts.is_mount(target):
            self._fit(image, disk)
            target.mkdir(exist_ok=True, mode=0o755)
            handle = loops.attach(image, lasting=False)
            try:
                file_systems.mount(loops.path_of(handle), target, disk.options)
            finally:
                os.close(handle)
        return _data_directory(target)

    def _fit(self, image: Path, disk: Disk) -> None:
        """Nobody has it: the moment to grow it on any host. One that somebody else keeps open stays as it is."""
        size = max(image.stat().st_size, _rounded(disk.size_bytes))
        if file_systems.size_bytes(image) >= size or not _comes_free(image):
            return
        os.truncate(image, size)
        file_systems.grow_unmounted(image)

    def _users(self, name: str) -> list[Path]:
        """Where pods show the volume, by the mounts of the kernel."""
        device = loops.find(self._image(name))
        return [] if device is None else _points_of(device, self._shown())

    def _opened(self) -> dict[str, Path]:
        """The device of each volume that has one, by the volume's name: one look at all of them."""
        found = {}
        for device, backing in loops.devices():
            image = Path(backing)
            if image.name == IMAGE and image.parent.parent == self._directory:
                found[image.parent.name] = device
        return found

    def _shown(self) -> list[Mount]:
        return [mount for mount in mounts.read() if mount.point.is_relative_to(self._pods_dir)]

    def _close(self, entry: Path) -> None:
        mounts.unmount_below(entry)
        device = loops.find(entry / IMAGE)
        if device is not None:
            # Mounted ones go by themselves; this is for those that a pod had as a device.
            loops.detach(device)


def _points_of(device: Path, shown: Sequence[Mount]) -> list[Path]:
    """Where a device shows: its file system, or the device itself, which is a file of the devices' own file system."""
    number, node = os.stat(device).st_rdev, ("devtmpfs", f"/{device.name}")
    return [mount.point for mount in shown if mount.device == number or (mount.kind, mount.root) == node]


def _comes_free(image: Path) -> bool:
    """Whether no device shows the file. The kernel closes one a moment after its last mount, and tells nobody."""
    for _ in range(_FREE_LOOKS_MAX):
        if loops.find(image) is None:
            return True
        time.sleep(_FREE_LOOK_SECONDS)
    return False


def _rounded(size: int) -> int:
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES


def _data_directory(disk: Path) -> Path:
    """Whoever may use the volume may write: which user that will be nobody knows yet, as with emptyDir."""
    data = disk / DATA
    if not data.exists():
        unfinished = disk / (DATA + _UNFINISHED)
        unfinished.mkdir(exist_ok=True)
        unfinished.chmod(0o777)
        unfinished.rename(data)
    return data
