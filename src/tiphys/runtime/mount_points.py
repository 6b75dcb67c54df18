"""
Mount points made once: for each set of them a directory tree, which goes below an image's layers.

What an image lacks of them would else be made by crun, for each container anew: a write to its layer, charged to its
cgroup. The file system keeps such blocks after the container and its layer are gone, and each block kept the dead
cgroup's memory account alive: some thousands of those made starting a pod half as fast. What an image has hides what is
here, so it looks as if crun had made them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
import shutil
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from tiphys.runtime.door import Mount

BASE = (("/proc", True), ("/dev", True), ("/sys", True))
# More sets than that come from somebody who mounts each container elsewhere; crun makes theirs.
SETS_MAX = 512
DIRECTORY_MODE, FILE_MODE = 0o755, 0o644

Point = tuple[str, bool]


class MountPoints:
    """Blocks for a moment: call in a worker thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: dict[tuple[Point, ...], Path] = {}
        self._making = threading.Lock()

    def forget_unused(self) -> None:
        """Remove the trees below no mount. Nothing may be mounted meanwhile."""
        mounts = Path("/proc/self/mountinfo").read_text()
        for tree in [*self._directory.iterdir()] if self._directory.is_dir() else []:
            if tree.name not in mounts:
                shutil.rmtree(tree)

    def tree(self, mounts: Sequence[Mount]) -> Path:
        """Where every mount point of a container is, or the usual ones if there are too many such trees already."""
        points = (*BASE, *_points(mounts))
        with self._making:
            if points not in self._made and len(self._made) >= SETS_MAX:
                points = BASE
            if points not in self._made:
                self._made[points] = self._make(points)
            return self._made[points]

    def _make(self, points: tuple[Point, ...]) -> Path:
        tree = self._directory / hashlib.sha256(repr(points).encode()).hexdigest()[:16]
        tree.mkdir(parents=True, exist_ok=True)
        tree.chmod(DIRECTORY_MODE)
        for path, is_directory in points:
            # One below another that is a file is left to crun, which says what is wrong with it.
            with contextlib.suppress(FileExistsError, NotADirectoryError):
                _add(tree, path, is_directory=is_directory)
        return tree


def _points(mounts: Iterable[Mount]) -> Iterable[Point]:
    """(path, whether it is a directory); never one that leads out of the root."""
    for mount in mounts:
        path = posixpath.normpath(f"/{mount.destination.lstrip('/')}")
        if path != "/" and not path.startswith("/dev/"):
            yield path, mount.type == "tmpfs" or os.path.isdir(mount.source)


def _add(tree: Path, path: str, *, is_directory: bool) -> None:
    target = tree
    names = path.strip("/").split("/")
    for name in names if is_directory else names[:-1]:
        target = target / name
        target.mkdir(exist_ok=True)
        target.chmod(DIRECTORY_MODE)
    if not is_directory:
        (target / names[-1]).touch(FILE_MODE)
