"""
The containers of this process: started, watched, ended. There is no task and no timer: a container's end is the end of
its conmon, told by a pidfd.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tiphys.aio import clock as clocks
from tiphys.runtime import cgroups, monitor
from tiphys.runtime.containers import MONITOR_SECONDS_MAX, START_FAILED_CODE, Containers, Record
from tiphys.runtime.door import NotFound, StartFailed
from tiphys.runtime.settings import RuntimeSettings
from tiphys.runtime.spawner import Spawner

log = logging.getLogger(__name__)

T = TypeVar("T")
# Where conmons live: beside the sandboxes, not in them, so that a pod's limits are the pod's own.
MONITORS = "monitors"
# Starts that are under way at once; more only take turns on the processors.
LAUNCHES_MAX = 4


@dataclass(slots=True)
class Life:
    """A container in this process: what is known, and who waits for its end."""

    record: Record
    exited: asyncio.Event = field(default_factory=asyncio.Event)
    pidfd: int = -1


class Lives:
    """Every container by its id."""

    def __init__(
        self,
        settings: RuntimeSettings,
        groups: cgroups.Cgroups,
        containers: Containers,
        pool: ThreadPoolExecutor,
        clock: clocks.Clock,
    ) -> None:
        self._settings = settings
        self._cgroups = groups
        self._containers = containers
        self._pool = pool
        self._clock = clock
        self.spawner = Spawner()
        # Starts wait for other programs most of the time: work that takes a moment does not queue behind them.
        self._launching = ThreadPoolExecutor(LAUNCHES_MAX, "launch")
        self._lives: dict[str, Life] = {}

    def __iter__(self) -> Iterator[Life]:
        return iter([*self._lives.values()])

    def __contains__(self, container_id: str) -> bool:
        return container_id in self._lives

    def find(self, container_id: str) -> Life:
        if container_id not in self._lives:
            raise NotFound(f"no container {container_id}")
        return self._lives[container_id]

    def running(self, container_id: str) -> Record:
        record = self.find(container_id).record
        if record.state != "running":
            raise NotFound(f"container {container_id} is not running")
        return record

    async def admit(self, record: Record) -> None:
        """Know a container; hear of its end if it runs."""
        life = self._lives[record.spec.id] = Life(record)
        if record.state == "exited":
            life.exited.set()
        elif record.state == "running":
            await self._watch(life)

    def forget(self, container_id: str) -> None:
        """Its waiters are told that it is over."""
        life = self._lives.pop(container_id)
        life.record.ended = life.record.ended or {"exit_code": START_FAILED_CODE, "finished_at": self._clock()}
        life.exited.set()

    def close(self) -> None:
        """Stop listening. Containers go on."""
        for life in self:
            if life.pidfd >= 0:
                self._unwatch(life)
        self._lives.clear()
        self._launching.shutdown(wait=True)
        self.spawner.close()
        self._containers.close()

    async def start(self, life: Life) -> None:
        record = life.record
        try:
            launch = self._containers.launch
            loop = asyncio.get_running_loop()
            record.pid = await loop.run_in_executor(self._launching, launch, record, self.spawner, self._clock())
        except StartFailed as error:
            await self._work(self._containers.finish, record, str(error), START_FAILED_CODE)
            life.exited.set()
            raise
        await self._watch(life)

    async def end(self, life: Life) -> None:
        """Kill everything in the container and wait until its monitor has said so."""
        if life.record.state != "running":
            return
        await self._work(cgroups.kill, self._cgroups, life.record.cgroup)
        try:
            async with asyncio.timeout(MONITOR_SECONDS_MAX):
                await life.exited.wait()
        except TimeoutError:
            await self._work(self._containers.end_monitor, life.record.spec.id)
            await life.exited.wait()

    async def _watch(self, life: Life) -> None:
        """Hear of the container's end, also when it is over already."""
        directory = self._containers.directory(life.record.spec.id)
        descriptor = monitor.monitor_of(directory, life.record.spec.id)
        if descriptor is None:
            await self._work(self._containers.finish, life.record)
            life.exited.set()
            return
        life.pidfd = descriptor
        # Not waited for: the kernel takes its time (10 ms on v1), and until then the monitor is in our own group.
        self._pool.submit(self._enter_monitors, directory)
        asyncio.get_running_loop().add_reader(descriptor, self._monitor_ended, life)

    def _monitor_ended(self, life: Life) -> None:
        self._unwatch(life)
        loop = asyncio.get_running_loop()
        finishing = loop.run_in_executor(self._pool, self._containers.finish, life.record)
        finishing.add_done_callback(lambda done: self._finished(life, done))

    def _finished(self, life: Life, done: asyncio.Future[None]) -> None:
        if not done.cancelled() and done.exception() is not None:
            log.error("container %s has ended, but its record failed: %s", life.record.spec.id, done.exception())
        life.exited.set()

    def _unwatch(self, life: Life) -> None:
        asyncio.get_running_loop().remove_reader(life.pidfd)
        os.close(life.pidfd)
        life.pidfd = -1

    def _enter_monitors(self, directory: Path) -> None:
        """The monitor leaves this process' cgroup: it must outlive whatever ends that."""
        try:
            pid = int((directory / monitor.MONITOR_PID).read_text())
            self._cgroups.add(f"{self._settings.cgroup_parent}/{MONITORS}", pid)
        except (FileNotFoundError, ProcessLookupError, ValueError):
            pass  # it has ended already, with its container
        except OSError as error:
            log.warning("the monitor of %s stays in this process' cgroup: %s", directory.name, error)

    async def _work(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)
