"""
Start programs, where needed in a mount namespace in which crun can work.

On a hybrid host (v1 hierarchies with a v2 mount beside them that holds a controller) crun refuses to run. It works
where `/sys/fs/cgroup/unified` is not to be seen. Every call gets a *fresh* copy of the host's mounts: one long-lived
namespace would not see mounts that are made later. What lives long must not live in such a copy, because the copy keeps
alive every mount that the host drops meanwhile. So conmon runs in the host's namespace, and only the crun that it
starts is wrapped (busybox where it is there: 1.5 ms instead of 3.7 ms); crun calls of our own are started from a thread
that has just made its copy, which costs no program at all.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tiphys.runtime import cgroups, kernel

UNIFIED = "/sys/fs/cgroup/unified"
_HIDE = f'umount {UNIFIED}; exec /usr/bin/crun "$@"'


@dataclass(slots=True)
class Spawner:
    """One thread whose mount namespace is its own business."""

    crun: str = "/usr/bin/crun"
    hybrid: bool = field(default_factory=cgroups.hides_v2)
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "crun-spawner"))
    _host: int = -1

    def monitored(self) -> list[str]:
        """conmon's words for the OCI runtime."""
        if not self.hybrid:
            return ["--runtime", self.crun]
        busybox = shutil.which("busybox")
        if busybox:
            words = [busybox, "unshare", "-m", busybox, "sh", "-c", _HIDE, "crun"]
        else:
            words = [shutil.which("unshare") or "unshare", "-m", "/bin/sh", "-c", _HIDE, "crun"]
        return ["--runtime", words[0], *(part for word in words[1:] for part in ("--runtime-arg", word))]

    async def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Popen where crun can work. The caller reaps it."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._start, list(command), options)

    async def run(self, command: Sequence[str]) -> tuple[int, str]:
        """(exit code, standard error)."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._run, list(command))

    def close(self) -> None:
        self._thread.shutdown(wait=True)
        if self._host >= 0:
            os.close(self._host)
            self._host = -1

    def _start(self, command: list[str], options: dict[str, Any]) -> subprocess.Popen[bytes]:
        if self.hybrid:
            self._copy_mounts()
        return subprocess.Popen(command, **options)

    def _run(self, command: list[str]) -> tuple[int, str]:
        process = self._start(
            command, {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        )
        _, errors = process.communicate()
        return process.returncode, errors.decode(errors="replace").strip()

    def _copy_mounts(self) -> None:
        """This thread sees the host's mounts of this moment, without the v2 part of the cgroups."""
        if self._host < 0:
            self._host = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        else:
            kernel.setns(self._host, kernel.CLONE_NEWNS)
        kernel.unshare(kernel.CLONE_NEWNS)
        # As a slave: what is dropped here is not dropped on the host.
        kernel.mount("none", "/", "none", kernel.MS_REC | kernel.MS_SLAVE)
        kernel.unmount(cgroups.ROOT / "unified")
