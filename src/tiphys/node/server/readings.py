"""What the kernel counts of the whole machine, of its file systems, and of the interfaces of one network namespace."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tiphys.node.machine import memory_info
from tiphys.runtime.usage import Pressure, pressure

PRESSURE = "/proc/pressure/{}"


@dataclass(frozen=True, slots=True)
class Machine:
    """Counters of the whole machine. `pressure` is by cpu, memory and io, where the kernel has it."""

    cpu_ns: int
    memory: Mapping[str, int]
    booted_at: float
    page_faults: int
    major_page_faults: int
    tasks: int
    tasks_max: int
    pressure: Mapping[str, Pressure]

    @property
    def used_bytes(self) -> int:
        """As the kernel estimates it: what could not be had without swapping."""
        return self.memory["MemTotal"] - self.memory["MemAvailable"]


@dataclass(frozen=True, slots=True)
class Interface:
    """Counters of one network interface."""

    name: str
    received_bytes: int
    received_errors: int
    sent_bytes: int
    sent_errors: int


@dataclass(frozen=True, slots=True)
class FileSystem:
    """Sizes in bytes and inodes."""

    capacity: int
    available: int
    used: int
    inodes: int
    inodes_free: int


def busy_ns(proc: Path = Path("/proc")) -> int:
    """How long all processors have worked since boot."""
    words = (proc / "stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _, _, irq, soft_irq, steal = (int(word) for word in words[:8])
    return (user + nice + system + irq + soft_irq + steal) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def read_machine(proc: Path = Path("/proc")) -> Machine:
    faults = dict(line.split(" ", 1) for line in (proc / "vmstat").read_text().splitlines() if line.startswith("pg"))
    tasks = (proc / "loadavg").read_text().split()[3].partition("/")[2]
    return Machine(
        cpu_ns=busy_ns(proc),
        memory=memory_info(),
        booted_at=time.time() - float((proc / "uptime").read_text().split()[0]),
        page_faults=int(faults.get("pgfault", 0)),
        major_page_faults=int(faults.get("pgmajfault", 0)),
        tasks=int(tasks),
        tasks_max=int((proc / "sys/kernel/pid_max").read_text()),
        pressure={kind: found for kind in ("cpu", "memory", "io") if (found := pressure(PRESSURE.format(kind)))},
    )


def interfaces(pid: int | str = "self") -> list[Interface]:
    """Those of the network namespace that a process is in, without the loopback; none when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
    except OSError:
        return []
    found = []
    for line in lines:
        name, _, rest = line.partition(":")
        numbers = [int(word) for word in rest.split()]
        found.append(Interface(name.strip(), numbers[0], numbers[2], numbers[8], numbers[10]))
    return [one for one in found if one.name != "lo"]


def default_interface() -> str:
    """The interface of the default route; "" if there is none."""
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        name, destination, *_ = line.split()
        if destination == "00000000":
            return name
    return ""


def file_system(path: str | Path) -> FileSystem | None:
    """The one that a path is on; None where there is no such path."""
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    size = found.f_frsize
    used = (found.f_blocks - found.f_bfree) * size
    return FileSystem(found.f_blocks * size, found.f_bavail * size, used, found.f_files, found.f_ffree)


def own_rss_bytes() -> int:
    """The resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
