"""emptyDir volumes: a directory on disk, or a tmpfs of at most sizeLimit with medium Memory."""

from __future__ import annotations

import os
from pathlib import Path

from tiphys.api import quantity
from tiphys.node.volumes import mounts
from tiphys.node.volumes.context import Context, Volume, VolumeProblem

GROUP_ALL = 0o2070


async def prepare(context: Context, volume: Volume) -> str:
    """Make the directory once; what is in it stays."""
    source = volume["emptyDir"] or {}
    medium = source.get("medium") or ""
    target = context.directory("empty-dir", volume["name"])
    if medium not in ("", "Memory"):
        raise VolumeProblem(f'emptyDir medium "{medium}" is not supported')
    target.mkdir(parents=True, exist_ok=True)
    if medium == "Memory" and context.settings.tmpfs_volumes and not mounts.is_mount(target):
        mounts.mount_tmpfs(target, _options(source.get("sizeLimit")))
    _own(target, context.fs_group)
    return str(target)


def _options(size_limit: str | None) -> str:
    size = quantity.value(str(size_limit)) if size_limit else 0
    return f"mode=0777,size={size}" if size else "mode=0777"


def _own(target: Path, group: int | None) -> None:
    status = target.stat()
    mode = 0o777 if group is None else 0o777 | GROUP_ALL
    if group is not None and status.st_gid != group:
        os.chown(target, -1, group)
    if status.st_mode & 0o7777 != mode:
        target.chmod(mode)
