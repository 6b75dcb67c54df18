"""
fsGroup: everything of a volume is given to a group, and new files follow.

Done before the first pod sees the volume, so nobody can put symlinks in the way. The root directory comes last: where
it fits, all of it was done, which is what `fsGroupChangePolicy: OnRootMismatch` relies on.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

READ_WRITE, READ_ONLY, ENTER = 0o660, 0o440, 0o110
SET_GROUP = 0o2000


def give(root: Path, group: int, *, only_on_mismatch: bool, read_only: bool) -> None:
    """Change what differs below `root`, then `root` itself."""
    mask = READ_ONLY if read_only else READ_WRITE
    if only_on_mismatch and _fits(root, group, mask | ENTER | SET_GROUP):
        return
    for _, _, names, folder in os.fwalk(root, topdown=False, follow_symlinks=False):
        for name in names:
            _give_entry(name, group, mask, folder)
        os.fchown(folder, -1, group)
        os.fchmod(folder, stat.S_IMODE(os.fstat(folder).st_mode) | mask | ENTER | SET_GROUP)


def _fits(root: Path, group: int, mode: int) -> bool:
    status = root.stat()
    return status.st_gid == group and status.st_mode & mode == mode


def _give_entry(name: str, group: int, mask: int, folder: int) -> None:
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    os.chown(name, -1, group, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(name, stat.S_IMODE(status.st_mode) | mask, dir_fd=folder)
