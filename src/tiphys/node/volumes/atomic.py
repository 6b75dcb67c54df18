"""
Files that change all at once: readers see the old set or the new one, never a mixture.

The layout is Kubernetes': `..data` is a symlink to a directory with a time in its name, and each visible entry is a
symlink through `..data`. A new set is written beside the old one and `..data` is renamed over. Nothing is touched when
the content is what it was.
"""

from __future__ import annotations

import datetime
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from tiphys.node.volumes.context import File, VolumeProblem, chown_group

DATA = "..data"
DATA_NEW = "..data_tmp"

DIRECTORY_MODE = 0o755
GROUP_READ = 0o440
GROUP_ENTER = 0o2050


def write(target: Path, files: Mapping[str, File], now: float, group: int | None = None) -> bool:
    """Make `target` hold exactly `files`; True if anything changed. VolumeProblem for a path that leads out of it."""
    for path in files:
        if path.startswith("/") or ".." in path.split("/"):
            raise VolumeProblem(f'file path "{path}" must stay within the volume')
    target.mkdir(parents=True, exist_ok=True)
    target.chmod(0o777 if group is None else 0o2777)
    if group is not None:
        os.chown(target, -1, group)
    if _current(target, group) == _wanted(files, group):
        return False
    fresh = _write_set(target, files, now, group)
    pointer = target / DATA
    old = target / os.readlink(pointer) if pointer.is_symlink() else None
    (target / DATA_NEW).unlink(missing_ok=True)
    (target / DATA_NEW).symlink_to(fresh.name)
    (target / DATA_NEW).rename(pointer)
    _link_entries(target, files)
    if old is not None and old.exists():
        shutil.rmtree(old)
    return True


def _wanted(files: Mapping[str, File], group: int | None) -> dict[str, File]:
    extra = GROUP_READ if group is not None else 0
    return {path: File(file.data, file.mode | extra) for path, file in files.items()}


def _current(target: Path, group: int | None) -> dict[str, File] | None:
    """What the volume holds, or None before the first time or when it belongs to another group."""
    data = target / DATA
    if not data.is_dir():
        return None
    found = {}
    for folder, _, names in os.walk(data):
        for name in names:
            path = Path(folder, name)
            status = path.stat()
            if group is not None and status.st_gid != group:
                return None
            found[str(path.relative_to(data))] = File(path.read_bytes(), status.st_mode & 0o7777)
    return found


def _write_set(target: Path, files: Mapping[str, File], now: float, group: int | None) -> Path:
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    name = moment.strftime("..%Y_%m_%d_%H_%M_%S.%f")
    fresh = target / name
    counter = 0
    while fresh.exists():
        counter += 1
        fresh = target / f"{name}.{counter}"
    fresh.mkdir()
    fresh.chmod(DIRECTORY_MODE)
    chown_group(fresh, group, GROUP_ENTER)
    for path, file in files.items():
        place = fresh / path
        if place.parent != fresh:
            place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.data)
        place.chmod(file.mode)
        chown_group(place, group, GROUP_READ)
    return fresh


def _link_entries(target: Path, files: Mapping[str, File]) -> None:
    """One visible symlink for each first path component; those of files that are gone disappear."""
    wanted = {path.split("/", 1)[0] for path in files}
    for name in wanted:
        entry = target / name
        if not entry.is_symlink():
            entry.symlink_to(f"{DATA}/{name}")
    for entry in target.iterdir():
        if not entry.name.startswith("..") and entry.name not in wanted:
            entry.unlink()
