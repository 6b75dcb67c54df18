"""
The Runtime on a real machine: crun makes containers, conmon watches each, containers/storage holds the images.

This file is the order of things; each skill has a file of its own. Blocking work (mounts, cgroups, files) runs in a few
worker threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal as signals
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO, TypeVar

from tiphys.aio import clock as clocks
from tiphys.runtime import cgroups, image_mounts, kernel, monitor, records, workspace
from tiphys.runtime.commands import Commands
from tiphys.runtime.containers import Containers, Record
from tiphys.runtime.door import (
    ContainerSpec,
    ContainerStatus,
    Credentials,
    Image,
    ImageInUse,
    ImageMissing,
    NotFound,
    Process,
    Resources,
    RuntimeFailure,
    SandboxSpec,
    Usage,
)
from tiphys.runtime.images import Images
from tiphys.runtime.lives import Lives
from tiphys.runtime.sandbox import Sandboxes
from tiphys.runtime.settings import RuntimeSettings
from tiphys.runtime.storage import Storage
from tiphys.runtime.streams import Attached

log = logging.getLogger(__name__)

T = TypeVar("T")
WORKERS = 4
CAP_SYS_RESOURCE = 24


class CrunRuntime:
    """See the door. One process at a time uses a `run_dir`."""

    def __init__(self, settings: RuntimeSettings, clock: clocks.Clock = clocks.system) -> None:
        self._settings = settings
        self._clock = clock
        self._cgroups = cgroups.detect()
        self._storage = Storage(settings.storage_root)
        self._sandboxes = Sandboxes(settings, self._cgroups)
        self._containers = Containers(settings, self._cgroups, self._sandboxes, self._storage)
        self._images = Images(settings, self._storage)
        # Each worker has a working directory of its own, for mounts with relative paths.
        self._pool = ThreadPoolExecutor(WORKERS, "runtime", initializer=kernel.unshare, initargs=(kernel.CLONE_FS,))
        self._lives = Lives(settings, self._cgroups, self._containers, self._pool, clock)
        self._commands = Commands(settings, self._lives.spawner)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._ownership: TextIO | None = None
        self._told_of_oom_score = False

    # life of the runtime

    @property
    def is_open(self) -> bool:
        return self._ownership is not None

    async def open(self) -> None:
        if self._ownership is not None:
            return
        self._ownership = await self._work(workspace.own, self._settings)
        await self._work(workspace.prepare, self._settings, self._cgroups)
        await self._work(self._images.prepare)
        for record in await self._work(self._containers.adopt_all):
            await self._lives.admit(record)

    async def close(self) -> None:
        self._commands.close()
        self._lives.close()
        await asyncio.to_thread(self._pool.shutdown)
        await asyncio.to_thread(self._sandboxes.close)
        if self._ownership is not None:
            self._ownership.close()
            self._ownership = None

    async def purge(self) -> None:
        for life in self._lives:
            await self.remove(life.record.spec.id)
        for sandbox in await self.sandboxes():
            await self.remove_sandbox(sandbox.id)
        await self._work(workspace.purge, self._settings, self._cgroups)

    # images

    async def image(self, reference: str) -> Image | None:
        # Two looks at files are quicker than a worker thread, whose turn comes after what others wait for.
        changed = not self._storage.is_current()
        stored = await self._work(self._storage.find, reference) if changed else self._storage.find(reference)
        return stored.image if stored else None

    async def images(self) -> Sequence[Image]:
        return [stored.image for stored in await self._work(self._storage.all)]

    async def pull(self, reference: str, credentials: Sequence[Credentials] = ()) -> Image:
        return await self._images.pull(reference, credentials)

    async def load(self, path: str) -> Sequence[Image]:
        return await self._images.load(path)

    async def remove_image(self, reference: str) -> None:
        image = await self.image(reference)
        if image is None:
            return
        for life in self._lives:
            if life.record.image_id == image.id:
                raise ImageInUse(f"image {reference} is used by container {life.record.spec.id}")
        stored = self._storage.find(image.id)
        if stored is not None and await self._work(
            image_mounts.is_mounted, self._storage, stored, self._settings.empty_dir
        ):
            raise ImageInUse(f"the files of image {reference} are mounted")
        await self._images.remove(image)

    async def mount_image(self, reference: str, target: str) -> None:
        stored = await self._work(self._storage.find, reference)
        if stored is None:
            raise ImageMissing(f"image {reference} is not present")
        await self._work(image_mounts.mount, self._storage, stored, target, self._settings.empty_dir)

    # sandboxes

    async def create_sandbox(self, spec: SandboxSpec) -> None:
        await _whole(self._create_sandbox(spec))

    async def _create_sandbox(self, spec: SandboxSpec) -> None:
        async with self._locks[spec.id]:
            await self._in_sandbox_thread(self._sandboxes.create, spec)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await _whole(self._remove_sandbox(sandbox_id))

    async def _remove_sandbox(self, sandbox_id: str) -> None:
        for life in self._lives:
            if life.record.spec.sandbox == sandbox_id:
                await self.remove(life.record.spec.id)
        async with self._locks[sandbox_id]:
            await self._in_sandbox_thread(self._sandboxes.remove, sandbox_id)
        self._locks.pop(sandbox_id, None)

    async def sandboxes(self) -> Sequence[SandboxSpec]:
        return await self._work(self._sandboxes.all)

    async def update_sandbox(self, sandbox_id: str, resources: Resources) -> None:
        spec = await self._sandbox(sandbox_id)
        await self._work(self._sandboxes.update, replace(spec, resources=resources))

    async def sandbox_usage(self, sandbox_id: str) -> Usage:
        return _present(await self._work(self._cgroups.usage, self._sandboxes.cgroup(await self._sandbox(sandbox_id))))

    async def usages(
        self, sandboxes: Sequence[str], containers: Sequence[str], *, brief: bool = False
    ) -> Mapping[str, Usage]:
        running = {name: self._lives.find(name).record.cgroup for name in containers if name in self._lives}
        return await self._work(self._usages, sandboxes, running, brief)

    def _usages(self, sandboxes: Sequence[str], running: Mapping[str, str], brief: bool) -> dict[str, Usage]:
        groups = {name: group for name in sandboxes if (group := self._sandboxes.group_of(name))}
        found = {name: self._cgroups.usage(group, brief=brief) for name, group in {**groups, **running}.items()}
        return {name: usage for name, usage in found.items() if usage is not None}

    # containers

    async def prepare(self, spec: ContainerSpec) -> None:
        await _whole(self._prepare(spec))

    async def _prepare(self, spec: ContainerSpec) -> None:
        records.verify_id(spec.id)
        async with self._locks[spec.id]:
            if spec.id in self._lives:
                return
            await self._lives.admit(await self._work(self._build, spec))

    async def start(self, container_id: str) -> ContainerStatus:
        return await _whole(self._start(container_id))

    async def _start(self, container_id: str) -> ContainerStatus:
        async with self._locks[container_id]:
            life = self._lives.find(container_id)
            if life.record.state == "created":
                await self._lives.start(life)
            return life.record.status()

    async def wait(self, container_id: str) -> ContainerStatus:
        life = self._lives.find(container_id)
        await life.exited.wait()
        return life.record.status()

    async def signal(self, container_id: str, signal: str) -> None:
        record = self._lives.find(container_id).record
        number = _signal_number(signal)
        if record.state == "running":
            with contextlib.suppress(ProcessLookupError):
                os.kill(record.pid, number)

    async def stop(self, container_id: str, timeout_seconds: float, signal: str = "") -> ContainerStatus:
        life = self._lives.find(container_id)
        if life.record.state == "running":
            image = await self.image(life.record.image_id)
            wanted = signal or life.record.spec.stop_signal or (image.stop_signal if image else "") or "SIGTERM"
            await self.signal(container_id, wanted)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(timeout_seconds, 0)):
                    await life.exited.wait()
            await self._lives.end(life)
        return life.record.status()

    async def remove(self, container_id: str) -> None:
        await _whole(self._remove(container_id))

    async def _remove(self, container_id: str) -> None:
        async with self._locks[container_id]:
            if container_id in self._lives:
                life = self._lives.find(container_id)
                await self._lives.end(life)
                await self._work(self._containers.remove, life.record)
                self._lives.forget(container_id)
        self._locks.pop(container_id, None)

    async def status(self, container_id: str) -> ContainerStatus:
        return self._lives.find(container_id).record.status()

    async def containers(self) -> Sequence[ContainerStatus]:
        return [life.record.status() for life in self._lives]

    async def update(self, container_id: str, resources: Resources) -> None:
        record = self._lives.running(container_id)
        await self._work(self._cgroups.apply, record.cgroup, resources)

    async def usage(self, container_id: str) -> Usage:
        return _present(await self._work(self._cgroups.usage, self._lives.find(container_id).record.cgroup))

    def layer(self, container_id: str) -> Path:
        return self._settings.layers_dir / container_id

    async def execute(
        self, container_id: str, command: Sequence[str], *, tty: bool = False, stdin: bool = False
    ) -> Process:
        self._lives.running(container_id)
        return await self._commands.execute(container_id, command, tty=tty, stdin=stdin)

    async def attach(self, container_id: str) -> Attached:
        life, record = self._lives.find(container_id), self._lives.running(container_id)

        async def code() -> int:
            return (await self.wait(container_id)).exit_code

        def kill() -> None:
            if life.record.state == "running":
                os.kill(record.pid, signals.SIGKILL)

        return Attached(self._containers.directory(container_id), code, kill)

    async def reopen_log(self, container_id: str) -> None:
        self._lives.find(container_id)
        monitor.control(self._containers.directory(container_id), monitor.REOPEN_LOG)

    # below the door

    def _oom_score(self, spec: ContainerSpec, sandbox: SandboxSpec) -> int | None:
        """Lowering needs a privilege that a host may withhold: said once, then done without."""
        own = int(Path("/proc/self/oom_score_adj").read_text())
        if sandbox.users and spec.oom_score_adj < own:
            return None  # the root of a user namespace may not
        if spec.oom_score_adj >= own or kernel.capabilities() >> CAP_SYS_RESOURCE & 1:
            return spec.oom_score_adj
        if not self._told_of_oom_score:
            log.warning("this host does not let oom_score_adj be lowered (no CAP_SYS_RESOURCE): going on without")
            self._told_of_oom_score = True
        return None

    def _build(self, spec: ContainerSpec) -> Record:
        sandbox, stored = self._found(spec.sandbox), self._storage.find(spec.image)
        if stored is None:
            raise ImageMissing(f"image {spec.image} is not present")
        return self._containers.build(spec, stored, sandbox, self._oom_score(spec, sandbox))

    async def _sandbox(self, sandbox_id: str) -> SandboxSpec:
        return await self._work(self._found, sandbox_id)

    def _found(self, sandbox_id: str) -> SandboxSpec:
        spec = self._sandboxes.find(sandbox_id)
        if spec is None:
            raise NotFound(f"no sandbox {sandbox_id}")
        return spec

    async def _work(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    async def _in_sandbox_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._sandboxes.threads, function, *arguments)


async def _whole(change: Coroutine[Any, Any, T]) -> T:
    """Whoever asked may give up waiting; a change that has begun goes on to its end, with its lock held."""
    return await asyncio.shield(asyncio.ensure_future(change))


def _present(usage: Usage | None) -> Usage:
    """What has ended uses nothing."""
    return usage if usage is not None else Usage(0, 0, 0, 0)


def _signal_number(name: str) -> signals.Signals:
    """`SIGTERM`, `TERM` or `15`; an image may say what is none of them."""
    try:
        if name.isdecimal():
            return signals.Signals(int(name))
        return signals.Signals[name.upper() if name.upper().startswith("SIG") else f"SIG{name.upper()}"]
    except (KeyError, ValueError) as error:
        raise RuntimeFailure(f"no such signal: {name!r}") from error
