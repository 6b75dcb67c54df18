"""hostPath volumes: a file or directory of the machine, checked against its type."""

from __future__ import annotations

import stat
from pathlib import Path

from tiphys.node.volumes.context import Context, Volume, VolumeProblem

_CHECKS = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "FileOrCreate": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


async def prepare(context: Context, volume: Volume) -> str:
    """Check, and make what may be made; the path itself."""
    source = volume["hostPath"]
    path, kind = Path(source["path"]), source.get("type") or ""
    if kind == "DirectoryOrCreate" and not path.exists():
        path.mkdir(parents=True, mode=0o755)
    elif kind == "FileOrCreate" and not path.exists():
        if not path.parent.is_dir():
            raise VolumeProblem(f"open {path}: no such file or directory")
        path.touch(mode=0o644)
    elif not kind and not path.exists():
        # As container runtimes do: an unchecked path that is missing becomes a directory.
        path.mkdir(parents=True)
    if kind in _CHECKS:
        matches, text = _CHECKS[kind]
        if not path.exists() or not matches(path.stat().st_mode):
            raise VolumeProblem(f"hostPath type check failed: {path} is not {text}")
    elif kind:
        raise VolumeProblem(f'unknown hostPath type "{kind}"')
    return str(path)
