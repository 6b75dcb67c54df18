"""
Control groups of both kinds: v2, and v1 with its many hierarchies (also hybrid: v1 with a v2 mount beside it).

A group is a path below the root ("tiphys/burstable/pod1/c1"). crun makes the groups of containers; ours are those
above. Each function is a few file writes: call them in a worker thread.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tiphys.runtime import usage
from tiphys.runtime.door import Resources, Usage

log = logging.getLogger(__name__)

ROOT = Path("/sys/fs/cgroup")
KILL_SECONDS_MAX = 10.0
REMOVE_ATTEMPTS_MAX = 60
V2_CONTROLLERS = ("cpu", "memory", "pids", "cpuset", "hugetlb", "io")


class Cgroups(Protocol):
    def create(self, group: str, resources: Resources, *, holds_processes: bool = False) -> None:
        """`holds_processes` where processes shall be in the group itself: with v2 it can have no groups below then."""

    def apply(self, group: str, resources: Resources) -> None: ...

    def usage(self, group: str, *, brief: bool = False) -> Usage | None:
        """None when the group is gone."""

    def oom_kills(self, group: str) -> int: ...

    def directories(self, group: str) -> list[Path]:
        """Where the group is in each hierarchy."""

    def add(self, group: str, pid: int) -> None: ...

    def processes(self, group: str) -> set[int]: ...


def detect() -> Cgroups:
    """The kind that this machine has."""
    mounts = [line.split(" - ") for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    kinds = [(left.split()[4], right.split()[0], right.split()[2]) for left, right in mounts]
    v1 = {Path(where): options for where, kind, options in kinds if kind == "cgroup" and Path(where).parent == ROOT}
    return V1({where: _controllers(options) for where, options in v1.items()}) if v1 else V2()


def hides_v2() -> bool:
    """Hybrid with a controller in the v2 part: crun refuses to work where it sees that."""
    unified = ROOT / "unified" / "cgroup.controllers"
    return unified.is_file() and unified.read_text().strip() != ""


def _controllers(options: str) -> frozenset[str]:
    known = {"cpu", "cpuacct", "cpuset", "memory", "pids", "hugetlb"}
    return frozenset(options.split(",")) & known


def weight_of(shares: int) -> int:
    """v1's 2 … 262144 as v2's 1 … 10000."""
    return 1 + ((min(max(shares, 2), 262144) - 2) * 9999) // 262142


class V2:
    def create(self, group: str, resources: Resources, *, holds_processes: bool = False) -> None:
        directory = ROOT
        for part in Path(group).parts:
            self._enable(directory)
            directory = directory / part
            directory.mkdir(exist_ok=True)
        if not holds_processes:
            self._enable(directory)
        self.apply(group, resources)

    def apply(self, group: str, resources: Resources) -> None:
        directory, r = ROOT / group, resources
        if r.cpu_shares:
            _write(directory / "cpu.weight", weight_of(r.cpu_shares))
        _write(directory / "cpu.max", f"{r.cpu_quota_us or 'max'} {r.cpu_period_us}")
        _write(directory / "memory.max", r.memory_limit_bytes or "max")
        _write(directory / "pids.max", r.pids_limit or "max")
        for size, limit in r.hugepages.items():
            _write(directory / f"hugetlb.{size}.max", limit)

    def usage(self, group: str, *, brief: bool = False) -> Usage | None:
        return usage.of_v2(f"{ROOT}/{group}", brief=brief)

    def oom_kills(self, group: str) -> int:
        return _table(ROOT / group / "memory.events").get("oom_kill", 0)

    def directories(self, group: str) -> list[Path]:
        return [ROOT / group]

    def add(self, group: str, pid: int) -> None:
        _write(ROOT / group / "cgroup.procs", pid)

    def processes(self, group: str) -> set[int]:
        return _processes(ROOT / group)

    def _enable(self, directory: Path) -> None:
        there = (directory / "cgroup.controllers").read_text().split()
        wanted = " ".join(f"+{name}" for name in V2_CONTROLLERS if name in there)
        if wanted:
            _write(directory / "cgroup.subtree_control", wanted)


@dataclass(frozen=True, slots=True)
class V1:
    """`hierarchies`: mount point → the controllers it holds, of those that we know."""

    hierarchies: dict[Path, frozenset[str]]

    def create(self, group: str, resources: Resources, *, holds_processes: bool = False) -> None:
        for mount, controllers in self.hierarchies.items():
            if not controllers:
                continue
            directory = mount
            for part in Path(group).parts:
                fresh = directory / part
                if not fresh.is_dir():
                    fresh.mkdir(exist_ok=True)
                    self._inherit(directory, fresh, controllers)
                directory = fresh
        self.apply(group, resources)

    def apply(self, group: str, resources: Resources) -> None:
        r = resources
        cpu, memory, pids = (self._of(name, group) for name in ("cpu", "memory", "pids"))
        if cpu and r.cpu_shares:
            _write(cpu / "cpu.shares", r.cpu_shares)
        if cpu:
            _write(cpu / "cpu.cfs_period_us", r.cpu_period_us)
            _write(cpu / "cpu.cfs_quota_us", r.cpu_quota_us or -1)
        if memory:
            _limit_memory(memory, r.memory_limit_bytes)
        if pids:
            _write(pids / "pids.max", r.pids_limit or "max")
        huge = self._of("hugetlb", group)
        for size, limit in r.hugepages.items() if huge else ():
            _write(huge / f"hugetlb.{size}.limit_in_bytes", limit)  # type: ignore[operator]

    def usage(self, group: str, *, brief: bool = False) -> Usage | None:
        cpu, memory, pids = (str(self._of(name, group) or "") for name in ("cpuacct", "memory", "pids"))
        return usage.of_v1(cpu, memory, pids, brief=brief)

    def oom_kills(self, group: str) -> int:
        memory = self._of("memory", group)
        return _table(memory / "memory.oom_control").get("oom_kill", 0) if memory else 0

    def directories(self, group: str) -> list[Path]:
        return [mount / group for mount in self.hierarchies]

    def add(self, group: str, pid: int) -> None:
        for mount, controllers in self.hierarchies.items():
            if controllers:
                _write(mount / group / "cgroup.procs", pid)

    def processes(self, group: str) -> set[int]:
        # Any hierarchy would do, but a process may be on its way between them.
        return set().union(*(_processes(directory) for directory in self.directories(group)))

    def _of(self, controller: str, group: str) -> Path | None:
        return next((mount / group for mount, names in self.hierarchies.items() if controller in names), None)

    def _inherit(self, parent: Path, fresh: Path, controllers: frozenset[str]) -> None:
        """A new cpuset is empty and takes no process until it is told what its parent may use."""
        if "cpuset" in controllers:
            for name in ("cpuset.cpus", "cpuset.mems"):
                _write(fresh / name, (parent / name).read_text().strip())


def _limit_memory(directory: Path, limit_bytes: int) -> None:
    """
    Memory without and with swap, alike: a limit that the disk extends is none. The kernel refuses a moment in which the
    first is above the second. 0 is no limit.
    """
    limits = [directory / "memory.limit_in_bytes", directory / "memory.memsw.limit_in_bytes"]
    there = [path for path in limits if path.exists()]
    is_raised = limit_bytes == 0 or limit_bytes > _number(limits[0])
    for path in reversed(there) if is_raised else there:
        _write(path, limit_bytes or -1)


class Haste:
    """
    Moving a process to another group waits until every processor has been idle or in the kernel (an RCU grace period,
    10 ms), but not within such a time after another move. crun moves each container once: a move that changes nothing,
    begun while the container is prepared, has waited in its place.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "cgroup-haste")
        self._moving: Future[None] | None = None

    def begin(self) -> None:
        """Returns at once."""
        if self._moving is None or self._moving.done():
            self._moving = self._thread.submit(_move_nowhere)

    def close(self) -> None:
        self._thread.shutdown(wait=True)


def _move_nowhere() -> None:
    """This process into the group that it is in. Where that is refused, it is after the wait."""
    with contextlib.suppress(OSError, StopIteration):
        (_own_directory() / "cgroup.procs").write_text("0")


def _own_directory() -> Path:
    """Where this process is: in a hierarchy of v1 if there is one."""
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    names = {line[1]: line[2].lstrip("/") for line in lines}
    return next(path for name, group in names.items() if (path := ROOT / name / group).is_dir())


def kill(cgroups: Cgroups, group: str) -> None:
    """End every process in a group and those below, and wait until they are gone."""
    deadline = time.monotonic() + KILL_SECONDS_MAX
    while pids := cgroups.processes(group):
        with contextlib.ExitStack() as held:
            descriptors = [fd for pid in pids if (fd := _pidfd(pid, held)) is not None]
            for descriptor in descriptors:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            await_ends(descriptors, deadline)
        if time.monotonic() > deadline:
            log.warning("processes of %s do not end within %.0f s: %s", group, KILL_SECONDS_MAX, sorted(pids))
            return


def remove(cgroups: Cgroups, group: str) -> None:
    """Remove a group with those below it. No process is in it by now; the kernel may need a moment to see that."""
    for top in cgroups.directories(group):
        for directory in [*_below(top), top]:
            _remove(directory)


def _remove(directory: Path) -> None:
    for attempt in range(REMOVE_ATTEMPTS_MAX):
        try:
            os.rmdir(directory)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            # There is no event for the moment when a dead process leaves its group.
            time.sleep(0.0005 * (attempt + 1))
    log.warning("cgroup %s cannot be removed: still busy", directory)


def _pidfd(pid: int, held: contextlib.ExitStack) -> int | None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    held.callback(os.close, descriptor)
    return descriptor


def await_ends(descriptors: list[int], deadline: float) -> None:
    waiting = select.poll()
    for descriptor in descriptors:
        waiting.register(descriptor, select.POLLIN)
    remaining = set(descriptors)
    while remaining and (left := deadline - time.monotonic()) > 0:
        for descriptor, _ in waiting.poll(left * 1000):
            waiting.unregister(descriptor)
            remaining.discard(descriptor)


def _below(directory: Path) -> Iterator[Path]:
    """Deepest first."""
    for where, names, _ in os.walk(directory, topdown=False):
        for name in names:
            yield Path(where) / name


def _processes(directory: Path) -> set[int]:
    found: set[int] = set()
    for where in [directory, *_below(directory)]:
        try:
            found.update(int(line) for line in (where / "cgroup.procs").read_text().split())
        except (FileNotFoundError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP):
                raise
    return found - {0}


def _write(path: Path, value: object) -> None:
    """A controller that is not there limits nothing; any other refusal is an error."""
    try:
        path.write_text(str(value))
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except FileNotFoundError:
        return 0


def _table(path: Path) -> dict[str, int]:
    try:
        pairs = (line.split() for line in path.read_text().splitlines())
        return {name: int(value) for name, value in pairs}
    except FileNotFoundError:
        return {}
