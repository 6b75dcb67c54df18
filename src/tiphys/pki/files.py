"""Files that hold secrets: written whole or not at all, readable by their owner only."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write(path: Path, data: bytes, mode: int = 0o600) -> None:
    """
    Replace `path` by `data` atomically and durably; its directory is made (0700) if missing.

    A symbolic link is followed. An owner that the old file had is kept, so that root can update a user's file.
    """
    path = path.resolve()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            os.fchmod(handle.fileno(), mode)
            if os.geteuid() == 0 and path.exists():
                before = path.stat()
                os.fchown(handle.fileno(), before.st_uid, before.st_gid)
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        os.rename(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
