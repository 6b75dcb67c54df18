"""
The directory of what ends with a reboot, in memory: records of containers, pins of namespaces, the pid file.

/run is a tmpfs where systemd is; elsewhere it may be on the disk. A pod makes and removes some thirty files there, and
ext4 looks at every inode deleted in the last minutes before it gives a new one: with pods that come and go, each file
took longer than the last.
"""

from __future__ import annotations

from pathlib import Path

from tiphys.node.volumes import mounts


def prepare(run_dir: Path) -> None:
    """
    Mount a tmpfs there unless it is in memory already; `teardown.purge` takes it away. Needs root; OSError without.

    Things that a server before us has mounted below stay where they are: they are in use.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    if not mounts.is_in_memory(run_dir) and not mounts.below(run_dir):
        mounts.mount_tmpfs(run_dir)
