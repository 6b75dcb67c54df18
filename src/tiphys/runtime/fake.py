"""
A Runtime in memory, for tests of what stands above the door. It keeps the same promises and touches nothing.

A container runs until the test says `exit(id, code)`; a stop or a signal ends it as a well-behaved program would.
"""

from __future__ import annotations

import asyncio
import hashlib
import signal as signals
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tiphys.aio import clock as clocks
from tiphys.runtime import names
from tiphys.runtime.door import (
    ContainerSpec,
    ContainerStatus,
    Credentials,
    Image,
    ImageInUse,
    ImageMissing,
    NotFound,
    PullFailed,
    Resources,
    RuntimeFailure,
    SandboxSpec,
    StartFailed,
    Usage,
)

START_FAILED_CODE = 128


@dataclass(frozen=True, slots=True)
class Answer:
    """What an exec'd command does: its output, then its exit code; `None` runs until it is killed."""

    code: int | None = 0
    stdout: bytes = b""
    stderr: bytes = b""


@dataclass(slots=True)
class _Container:
    spec: ContainerSpec
    status: ContainerStatus
    exited: asyncio.Event = field(default_factory=asyncio.Event)


class FakeProcess:
    """A scripted process. `written` is what came in, `sizes` the terminal sizes it was given."""

    def __init__(self, answer: Answer) -> None:
        self.written = b""
        self.input_closed = False
        self.sizes: list[tuple[int, int]] = []
        self.closed = False
        self._chunks = [chunk for chunk in ((1, answer.stdout), (2, answer.stderr)) if chunk[1]]
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if answer.code is not None:
            self._code.set_result(answer.code)

    async def write(self, data: bytes) -> None:
        self.written += data

    async def close_input(self) -> None:
        self.input_closed = True

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        for chunk in self._chunks:
            yield chunk
        await asyncio.shield(self._code)

    async def resize(self, columns: int, rows: int) -> None:
        self.sizes.append((columns, rows))

    async def wait(self) -> int:
        return await asyncio.shield(self._code)

    async def kill(self) -> None:
        self.finish(128 + signals.SIGKILL)

    def close(self) -> None:
        self.closed = True

    def finish(self, code: int) -> None:
        """The process ends, unless it has."""
        if not self._code.done():
            self._code.set_result(code)


class FakeRuntime:
    """
    Scripts: `pullable` (what a registry has), `pull_errors` (reference → cause), `start_errors` (container name →
    cause), `layers` (the directory of `layer`), `when_started` (the code to exit with at once, None to run on),
    `when_executed`, `stubborn` (names of containers that ignore every signal but KILL). Records: `calls` (verb, id),
    `pulls`, `processes`.
    """

    def __init__(self, clock: clocks.Clock = clocks.system) -> None:
        self.clock = clock
        self.pullable: dict[str, Image] = {}
        self.pull_errors: dict[str, str] = {}
        self.start_errors: dict[str, str] = {}
        self.stubborn: set[str] = set()
        self.when_started: Callable[[ContainerSpec], int | None] = lambda _: None
        self.when_executed: Callable[[str, Sequence[str]], Answer] = lambda _, __: Answer()
        self.used: dict[str, Usage] = {}
        self.calls: list[tuple[str, str]] = []
        self.pulls: list[tuple[str, tuple[Credentials, ...]]] = []
        self.image_mounts: dict[str, str] = {}
        self.processes: list[FakeProcess] = []
        self.layers = Path("/nonexistent")
        self.is_open = False
        self._images: dict[str, Image] = {}
        self._sandboxes: dict[str, SandboxSpec] = {}
        self._containers: dict[str, _Container] = {}

    # what tests say

    def add_image(self, reference: str, **fields: object) -> Image:
        """An image that is present."""
        image = fake_image(reference, **fields)
        self._images[image.id] = image
        return image

    def exit(self, container_id: str, code: int = 0, *, signal: int = 0, oom_killed: bool = False) -> None:
        """The container's first process ends."""
        container = self._find(container_id)
        if container.status.state != "running":
            return
        container.status = replace(
            container.status, state="exited", pid=0, exit_code=code, signal=signal, oom_killed=oom_killed,
            finished_at=self.clock(),
        )  # fmt: skip
        container.exited.set()

    def spec(self, container_id: str) -> ContainerSpec:
        """With which words a container was prepared."""
        return self._find(container_id).spec

    def specs(self) -> list[ContainerSpec]:
        return [container.spec for container in self._containers.values()]

    # the door

    async def open(self) -> None:
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False

    async def purge(self) -> None:
        for sandbox_id in list(self._sandboxes):
            await self.remove_sandbox(sandbox_id)

    async def image(self, reference: str) -> Image | None:
        wanted = names.image_id(reference)
        if wanted:
            return self._images.get(f"sha256:{wanted}")
        full = names.parse(reference)
        return next((i for i in self._images.values() if str(full) in i.names or full.pullable in i.digests), None)

    async def images(self) -> Sequence[Image]:
        return list(self._images.values())

    async def pull(self, reference: str, credentials: Sequence[Credentials] = ()) -> Image:
        full = str(names.parse(reference))
        self.pulls.append((reference, tuple(credentials)))
        known = {str(names.parse(name)): image for name, image in self.pullable.items()}
        errors = {str(names.parse(name)): cause for name, cause in self.pull_errors.items()}
        if full in errors:
            raise PullFailed(errors[full])
        if full not in known:
            raise PullFailed(f"{full}: not found")
        self._images[known[full].id] = known[full]
        return known[full]

    async def load(self, path: str) -> Sequence[Image]:
        raise RuntimeFailure(f"the fake runtime cannot unpack {path}: use add_image")

    async def remove_image(self, reference: str) -> None:
        image = await self.image(reference)
        if image is None:
            return
        user = next((c for c in self._containers.values() if c.status.image_id == image.id), None)
        if user is not None:
            raise ImageInUse(f"image {reference} is used by container {user.spec.id}")
        del self._images[image.id]

    async def mount_image(self, reference: str, target: str) -> None:
        image = await self.image(reference)
        if image is None:
            raise ImageMissing(f"image {reference} is not present")
        self.image_mounts[target] = image.id

    async def create_sandbox(self, spec: SandboxSpec) -> None:
        self.calls.append(("create_sandbox", spec.id))
        self._sandboxes.setdefault(spec.id, spec)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        self.calls.append(("remove_sandbox", sandbox_id))
        for container in [c for c in self._containers.values() if c.spec.sandbox == sandbox_id]:
            await self.remove(container.spec.id)
        self._sandboxes.pop(sandbox_id, None)

    async def sandboxes(self) -> Sequence[SandboxSpec]:
        return list(self._sandboxes.values())

    async def update_sandbox(self, sandbox_id: str, resources: Resources) -> None:
        if sandbox_id not in self._sandboxes:
            raise NotFound(f"no sandbox {sandbox_id}")
        self._sandboxes[sandbox_id] = replace(self._sandboxes[sandbox_id], resources=resources)

    async def prepare(self, spec: ContainerSpec) -> None:
        self.calls.append(("prepare", spec.id))
        if spec.id in self._containers:
            return
        if spec.sandbox not in self._sandboxes:
            raise NotFound(f"no sandbox {spec.sandbox}")
        if spec.pid_of and self._find(spec.pid_of).status.state != "running":
            raise NotFound(f"container {spec.pid_of} is not running: its processes cannot be joined")
        image = await self.image(spec.image)
        if image is None:
            raise ImageMissing(f"image {spec.image} is not present")
        status = ContainerStatus(
            spec.id, spec.sandbox, spec.name, "created", image_id=image.id, created_at=self.clock(), labels=spec.labels
        )
        self._containers[spec.id] = _Container(spec, status)

    async def start(self, container_id: str) -> ContainerStatus:
        self.calls.append(("start", container_id))
        container = self._find(container_id)
        if container.status.state != "created":
            return container.status
        now, cause = self.clock(), self.start_errors.get(container.spec.name)
        if cause is not None:
            container.status = replace(
                container.status, state="exited", exit_code=START_FAILED_CODE, finished_at=now, message=cause
            )
            container.exited.set()
            raise StartFailed(cause)
        pid = 1000 + len(self.calls)
        container.status = replace(container.status, state="running", pid=pid, started_at=now)
        code = self.when_started(container.spec)
        if code is not None:
            self.exit(container_id, code)
        return container.status

    async def wait(self, container_id: str) -> ContainerStatus:
        container = self._find(container_id)
        await container.exited.wait()
        return container.status

    async def signal(self, container_id: str, signal: str) -> None:
        self.calls.append(("signal", container_id))
        container = self._find(container_id)
        number = signals.Signals[signal if signal.startswith("SIG") else f"SIG{signal}"]
        if number == signals.SIGKILL or container.spec.name not in self.stubborn:
            self.exit(container_id, 128 + number)

    async def stop(self, container_id: str, timeout_seconds: float, signal: str = "") -> ContainerStatus:
        self.calls.append(("stop", container_id))
        container = self._find(container_id)
        if container.status.state == "running":
            await self.signal(container_id, signal or container.spec.stop_signal or "SIGTERM")
            try:
                async with asyncio.timeout(max(timeout_seconds, 0)):
                    await container.exited.wait()
            except TimeoutError:
                await self.signal(container_id, "SIGKILL")
        return container.status

    async def remove(self, container_id: str) -> None:
        self.calls.append(("remove", container_id))
        if container_id in self._containers:
            self.exit(container_id, 128 + signals.SIGKILL)
            self._containers.pop(container_id).exited.set()

    async def status(self, container_id: str) -> ContainerStatus:
        return self._find(container_id).status

    async def containers(self) -> Sequence[ContainerStatus]:
        return [container.status for container in self._containers.values()]

    async def update(self, container_id: str, resources: Resources) -> None:
        container = self._find(container_id)
        container.spec = replace(container.spec, resources=resources)

    async def usage(self, container_id: str) -> Usage:
        self._find(container_id)
        return self.used.get(container_id, Usage(0, 0, 0, 1))

    async def sandbox_usage(self, sandbox_id: str) -> Usage:
        if sandbox_id not in self._sandboxes:
            raise NotFound(f"no sandbox {sandbox_id}")
        return self.used.get(sandbox_id, Usage(0, 0, 0, 1))

    async def usages(
        self, sandboxes: Sequence[str], containers: Sequence[str], *, brief: bool = False
    ) -> Mapping[str, Usage]:
        there = [*(name for name in sandboxes if name in self._sandboxes)]
        there += [name for name in containers if name in self._containers]
        return {name: self.used.get(name, Usage(0, 0, 0, 1)) for name in there}

    def layer(self, container_id: str) -> Path:
        return self.layers / container_id

    async def execute(
        self, container_id: str, command: Sequence[str], *, tty: bool = False, stdin: bool = False
    ) -> FakeProcess:
        self.calls.append(("execute", container_id))
        return self._process(container_id, self.when_executed(container_id, command))

    async def attach(self, container_id: str) -> FakeProcess:
        self.calls.append(("attach", container_id))
        return self._process(container_id, Answer(None))

    async def reopen_log(self, container_id: str) -> None:
        self.calls.append(("reopen_log", container_id))
        self._find(container_id)

    def _find(self, container_id: str) -> _Container:
        if container_id not in self._containers:
            raise NotFound(f"no container {container_id}")
        return self._containers[container_id]

    def _process(self, container_id: str, answer: Answer) -> FakeProcess:
        if self._find(container_id).status.state != "running":
            raise NotFound(f"container {container_id} is not running")
        process = FakeProcess(answer)
        self.processes.append(process)
        return process


def fake_image(reference: str, **fields: object) -> Image:
    """An image whose id and digest follow from its name."""
    full = names.parse(reference)
    digits = hashlib.sha256(str(full).encode()).hexdigest()
    image = Image(
        id=f"sha256:{digits}",
        names=(str(full),),
        digests=(f"{full.repository}@{full.digest or f'sha256:{digits}'}",),
        size_bytes=1_000_000,
    )
    return replace(image, **fields)  # type: ignore[arg-type]
