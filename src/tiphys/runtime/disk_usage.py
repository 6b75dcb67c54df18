"""What a directory takes on disk. Walking it is the only way to know, so callers do that seldom, and in a thread."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """`used_bytes` are those of the blocks that files and directories take."""

    used_bytes: int = 0
    inodes: int = 0


def measure(path: str) -> DiskUsage:
    """Of everything below `path` on its file system; hard links count once, and what vanishes meanwhile does not."""
    try:
        top = os.lstat(path)
    except OSError:
        return DiskUsage()
    used, seen = top.st_blocks * 512, {top.st_ino}
    waiting = [path]
    while waiting:
        try:
            entries = os.scandir(waiting.pop())
        except OSError:  # gone since, or not to be read
            continue
        with entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if status.st_dev != top.st_dev or status.st_ino in seen:
                    continue
                seen.add(status.st_ino)
                used += status.st_blocks * 512
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
    return DiskUsage(used, len(seen))
