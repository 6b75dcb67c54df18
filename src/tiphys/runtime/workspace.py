"""
The directories and cgroups of the runtime: made, cleared after a reboot, removed.

Blocks for a moment: call in a worker thread.
"""

from __future__ import annotations

import fcntl
import shutil
import time
from pathlib import Path
from typing import TextIO

from tiphys.runtime import cgroups, kernel
from tiphys.runtime.door import Resources, RuntimeFailure
from tiphys.runtime.lives import MONITORS
from tiphys.runtime.settings import RuntimeSettings

BOOT = "boot_id"
# Who was killed while it started a program holds the lock until that program has begun.
OWN_SECONDS_MAX = 0.3


def own(settings: RuntimeSettings) -> TextIO:
    """Held open as long as this process uses the directory: two that did would start containers twice."""
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    handle = (settings.run_dir / "lock").open("w")
    deadline = time.monotonic() + OWN_SECONDS_MAX
    while not _locked(handle):
        if time.monotonic() > deadline:
            handle.close()
            raise RuntimeFailure(f"{settings.run_dir} is in use by another process: end it first")
        time.sleep(0.01)
    return handle


def _locked(handle: TextIO) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def prepare(settings: RuntimeSettings, groups: cgroups.Cgroups) -> None:
    """Everything is there afterwards, and nothing of an earlier boot."""
    _forget_earlier_boot(settings)
    settings.run_dir.chmod(0o711)
    for directory in (settings.containers_dir, settings.sandboxes_dir, settings.layers_dir, settings.crun_root):
        directory.mkdir(parents=True, exist_ok=True)
    settings.data_dir.chmod(0o711)
    groups.create(settings.cgroup_parent, Resources())
    groups.create(f"{settings.cgroup_parent}/{MONITORS}", Resources(), holds_processes=True)


def purge(settings: RuntimeSettings, groups: cgroups.Cgroups) -> None:
    """Containers and sandboxes are gone by now; what is left is ours alone."""
    cgroups.kill(groups, settings.cgroup_parent)
    cgroups.remove(groups, settings.cgroup_parent)
    for mount in _mounts_below(settings.run_dir):
        kernel.unmount(mount)
    for directory in (settings.run_dir, settings.data_dir):
        if directory.is_dir():
            shutil.rmtree(directory)


def _forget_earlier_boot(settings: RuntimeSettings) -> None:
    """A reboot ended every container and namespace; their files may still be there."""
    marker = settings.run_dir / BOOT
    boot = kernel.boot_id()
    if marker.exists() and marker.read_text() == boot:
        return
    for directory in (settings.containers_dir, settings.sandboxes_dir, settings.crun_root, settings.layers_dir):
        if directory.is_dir():
            shutil.rmtree(directory)
    marker.write_text(boot)


def _mounts_below(directory: Path) -> list[Path]:
    """Deepest first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [Path(line.split()[4].replace("\\040", " ")) for line in lines]
    return sorted((point for point in points if point.is_relative_to(directory)), reverse=True)
