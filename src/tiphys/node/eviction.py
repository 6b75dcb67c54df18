"""
Pressure: too little memory, disk or process ids. The node says so in its conditions, and pods give way.

Memory is watched by the kernel (PSI): a trigger on /proc/pressure/memory wakes us only when tasks stall for want of
memory. Disk space has no event; it is looked at rarely. Who gives way is decided purely (`victim`), by the kubelet's
order: first who uses more than it asked for, then by priority, then by how much more.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tiphys.api import pods, quantity
from tiphys.node.machine import memory_info
from tiphys.node.pod.facts import Ending
from tiphys.node.pod.parts import Parts
from tiphys.node.pod.worker import PodWorker
from tiphys.node.registration import Pressure
from tiphys.node.volumes.empty_dir import size_bytes
from tiphys.runtime.door import RuntimeFailure

Pod = Mapping[str, Any]

MEMORY_AVAILABLE_MIN = 100 * 1024 * 1024
DISK_AVAILABLE_SHARE_MIN = 0.10
INODES_AVAILABLE_SHARE_MIN = 0.05
PIDS_AVAILABLE_SHARE_MIN = 0.02
DISK_LOOK_SECONDS = 60.0
# Where a pod limits an emptyDir on disk, its size is looked at this often: no event tells of it.
LIMIT_LOOK_SECONDS = 10.0
# While there is pressure: how often to look whether it is over, and how long a condition stays to avoid flapping.
PRESSURE_LOOK_SECONDS = 2.0
PRESSURE_HOLD_SECONDS = 30.0
EVICTION_GRACE_SECONDS = 0.0
# Wake when tasks stall 300 ms within two seconds; shorter windows need a privilege that hosts may withhold.
PSI_TRIGGER = b"some 300000 2000000\0"
PSI_MEMORY = Path("/proc/pressure/memory")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pod and what it uses of the resource that is short."""

    pod: Pod
    used: int
    requested: int


def victim(candidates: Sequence[Candidate]) -> Candidate | None:
    """Who gives way: above its request first, then the lowest priority, then the largest excess."""
    if not candidates:
        return None
    return min(candidates, key=lambda c: (c.used <= c.requested, _priority(c.pod), -(c.used - c.requested)))


def _priority(pod: Pod) -> int:
    return int(pod["spec"].get("priority") or 0)


def message(resource: str, threshold: str, available: str) -> str:
    """As the kubelet words an eviction."""
    return f"The node was low on resource: {resource}. Threshold quantity: {threshold}, available: {available}. "


class Node(Protocol):
    """What is needed of the agent."""

    parts: Parts

    @property
    def workers(self) -> Sequence[PodWorker]: ...


class Watcher:
    """`run()` looks when the kernel says so and tells the registration what it found."""

    def __init__(self, node: Node, report: Callable[[Pressure], None]) -> None:
        self._node = node
        self._report = report
        self._memory_until = 0.0
        self._woken = asyncio.Event()

    def began(self, pod: Pod) -> None:
        """A pod is new here: one whose directories have limits must not wait for the next rare look."""
        if limits_of(pod):
            self._woken.set()

    async def run(self) -> None:
        trigger = open_trigger()
        loop = asyncio.get_running_loop()
        poll = select.epoll() if trigger is not None else None
        try:
            if trigger is not None and poll is not None:
                # A PSI trigger reports through POLLPRI, which an event loop does not watch; its epoll's own
                # descriptor is readable whenever that happens.
                poll.register(trigger, select.EPOLLPRI | select.EPOLLET)
                loop.add_reader(poll.fileno(), _drain, poll, self._woken)
            while True:
                pressure = self._look()
                self._report(pressure)
                if pressure.memory:
                    await self._relieve()
                limited = await self._keep_limits()
                calm = LIMIT_LOOK_SECONDS if limited else DISK_LOOK_SECONDS
                await self._sleep(PRESSURE_LOOK_SECONDS if pressure != Pressure() else calm)
        finally:
            if trigger is not None and poll is not None:
                loop.remove_reader(poll.fileno())
                poll.close()
                os.close(trigger)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return
        finally:
            self._woken.clear()

    def _look(self) -> Pressure:
        now = self._node.parts.now()
        if memory_info()["MemAvailable"] < MEMORY_AVAILABLE_MIN:
            self._memory_until = now + PRESSURE_HOLD_SECONDS
        disk = is_disk_short(self._node.parts.settings.data_dir)
        return Pressure(memory=now < self._memory_until, disk=disk, pids=are_pids_short())

    async def _keep_limits(self) -> bool:
        """Evict pods whose emptyDir has outgrown its limit; whether any pod has such a limit."""
        limited = False
        for worker in self._node.workers:
            state = worker.state
            limits = limits_of(state.pod)
            if not limits or state.ending is not None:
                continue
            limited = True
            if not state.volumes.done:
                continue
            text = await asyncio.to_thread(outgrown, limits, dict(state.mounts))
            if text:
                self._evict(worker, text)
        return limited

    def _evict(self, worker: PodWorker, text: str) -> None:
        log.warning("evicting pod %s: %s", worker.state.pod["metadata"]["name"], text)
        worker.work.warning("Evicted", text)
        worker.end(Ending(self._node.parts.now() + EVICTION_GRACE_SECONDS, "Evicted", text))

    async def _relieve(self) -> None:
        """One pod gives way; whether that was enough is seen at the next look."""
        available = memory_info()["MemAvailable"]
        if available >= MEMORY_AVAILABLE_MIN:
            return
        chosen = victim([c for c in [await self._candidate(w) for w in self._node.workers] if c is not None])
        if chosen is None:
            return
        worker = next(w for w in self._node.workers if w.state.pod is chosen.pod)
        text = message("memory", f"{MEMORY_AVAILABLE_MIN // 1024 // 1024}Mi", f"{available // 1024}Ki")
        self._evict(worker, text)

    async def _candidate(self, worker: PodWorker) -> Candidate | None:
        state = worker.state
        if state.ending is not None or not state.sandbox.done or is_critical(state.pod):
            return None
        used = 0
        for container in state.containers.values():
            run = container.runs[-1] if container.runs else None
            if run is not None and run.state == "running":
                try:
                    used += (await self._node.parts.runtime.usage(run.id)).memory_working_set_bytes
                except RuntimeFailure:
                    continue  # it ended meanwhile and uses nothing
        return Candidate(state.pod, used, pods.requests_of(state.pod).get("memory", 0))


def _drain(poll: select.epoll, woken: asyncio.Event) -> None:
    poll.poll(0)
    woken.set()


def is_critical(pod: Pod) -> bool:
    """Without these the node itself would not work."""
    return _priority(pod) >= 2_000_000_000


def limits_of(pod: Pod) -> dict[str, str]:
    """The emptyDir volumes on disk that have a limit; those in memory are kept by their tmpfs."""
    found = {}
    for volume in pod["spec"].get("volumes") or ():
        source = volume.get("emptyDir") or {}
        if source.get("sizeLimit") and not source.get("medium"):
            found[volume["name"]] = str(source["sizeLimit"])
    return found


def outgrown(limits: Mapping[str, str], paths: Mapping[str, str]) -> str:
    """The text of the eviction; "" while every volume keeps its limit."""
    for name, limit in limits.items():
        if name in paths and size_bytes(paths[name]) > quantity.value(limit) > 0:
            return f'Usage of EmptyDir volume "{name}" exceeds the limit "{limit}". '
    return ""


def are_pids_short() -> bool:
    tasks = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
    limit = int(Path("/proc/sys/kernel/pid_max").read_text())
    return limit - tasks < limit * PIDS_AVAILABLE_SHARE_MIN


def is_disk_short(path: Path) -> bool:
    found = os.statvfs(path)
    space = found.f_bavail < found.f_blocks * DISK_AVAILABLE_SHARE_MIN
    inodes = found.f_files > 0 and found.f_favail < found.f_files * INODES_AVAILABLE_SHARE_MIN
    return space or inodes


def open_trigger() -> int | None:
    """A PSI trigger for memory; None where the kernel has none (then only the rare look tells)."""
    try:
        handle = os.open(PSI_MEMORY, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        log.info("no pressure information from the kernel: %s", error)
        return None
    try:
        os.write(handle, PSI_TRIGGER)
    except OSError as error:
        os.close(handle)
        log.info("the kernel takes no pressure trigger: %s", error)
        return None
    return handle
