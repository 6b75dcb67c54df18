"""
An image's files at a path, without a container: the layers that containers have, below nothing that can be written.

What is mounted is read from the kernel, so that nothing is forgotten after a crash. Blocks for a moment: call in a
worker thread with a working directory of its own.
"""

from __future__ import annotations

import os
from pathlib import Path

from tiphys.runtime import kernel
from tiphys.runtime.storage import Storage, Stored

FLAGS = kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC


def mount(storage: Storage, stored: Stored, target: str, empty: Path) -> None:
    """`empty` is where two directories of nothing are made: the kernel wants two layers where none can be written."""
    if os.path.ismount(target):
        return
    nothing = empty / "a", empty / "b"
    for directory in nothing:
        directory.mkdir(parents=True, exist_ok=True)
    below = [storage.lower_directories(stored.layer), str(nothing[0])] if stored.layer else [*map(str, nothing)]
    # Relative to this thread's own working directory, as for containers.
    os.chdir(storage.overlay_dir if stored.layer else "/")
    try:
        kernel.mount("overlay", target, "overlay", FLAGS, f"lowerdir={':'.join(below)}")
    finally:
        os.chdir("/")


def is_mounted(storage: Storage, stored: Stored, empty: Path) -> bool:
    """Whether the files of an image are shown anywhere."""
    if not stored.layer:
        return False
    options = f"lowerdir={storage.lower_directories(stored.layer)}:{empty / 'a'}"
    return options in Path("/proc/self/mountinfo").read_text()
