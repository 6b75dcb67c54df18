"""
Start programs, where needed in a mount namespace in which crun can work.

On a hybrid host (v1 hierarchies with a v2 mount beside them that holds a controller) crun refuses to run. It works
where `/sys/fs/cgroup/unified` is not to be seen. Every call gets a *fresh* copy of the host's mounts: one long-lived
namespace would not see mounts that are made later. What lives long must not live in such a copy, because the copy keeps
alive every mount that the host drops meanwhile. So conmon runs in the host's namespace, and only the crun that it
starts is wrapped (busybox where it is there: 1.5 ms instead of 3.7 ms); crun calls of our own are started from a thread
that has just made its copy, which costs no program at all. The v2 part is covered, not unmounted: an unmount waits for
every processor, and crun would leave directories of its own where it was.

crun itself is run from a sealed copy in memory. No container can change that, and crun knows: from its file it would
first make such a copy and then begin again, which costs as much as the rest of its start.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tiphys.runtime import cgroups, kernel

UNIFIED = "/sys/fs/cgroup/unified"
CRUN = Path("/usr/bin/crun")
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


@dataclass(slots=True)
class Spawner:
    """One thread whose mount namespace is its own business."""

    hybrid: bool = field(default_factory=cgroups.hides_v2)
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "crun-spawner"))
    _host: int = -1
    _sealed: int = -1
    _sealing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def descriptor(self) -> int:
        """crun's copy. Whoever inherits it can execute crun, also when this process has ended."""
        # Containers are prepared in several threads: what one tells conmon must be what it hands to it.
        with self._sealing:
            if self._sealed < 0:
                self._sealed = _sealed_copy(CRUN)
        return self._sealed

    @property
    def crun(self) -> str:
        """The path at which this process executes crun."""
        return f"/proc/{os.getpid()}/fd/{self.descriptor}"

    def monitored(self) -> list[str]:
        """conmon's words for the OCI runtime. It is given the descriptor."""
        crun = f"/proc/self/fd/{self.descriptor}"
        if not self.hybrid:
            return ["--runtime", crun]
        busybox = shutil.which("busybox")
        hide = f'mount -t tmpfs none {UNIFIED}; exec {crun} "$@"'
        if busybox:
            words = [busybox, "unshare", "-m", busybox, "sh", "-c", hide, "crun"]
        else:
            words = [shutil.which("unshare") or "unshare", "-m", "/bin/sh", "-c", hide, "crun"]
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
        for descriptor in (self._host, self._sealed):
            if descriptor >= 0:
                os.close(descriptor)
        self._host = self._sealed = -1

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
        kernel.mount("none", UNIFIED, "tmpfs")


def _sealed_copy(program: Path) -> int:
    """A descriptor of a copy in memory that nobody can change any more."""
    descriptor = os.memfd_create(program.name, os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    try:
        content = memoryview(program.read_bytes())
        while content:
            content = content[os.write(descriptor, content) :]
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
