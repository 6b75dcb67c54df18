"""
The worker of one pod: gathers the facts, asks the plan, performs the commands, reports the status. One task a pod.

It sleeps until something is new: a watch event, a container that ended, a probe, an operation that is done, or the
moment that the plan asked for. Operations run side by side, each marked as busy in the state before it begins, so that
the plan never asks for the same thing twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from tiphys.node.allocation import allocation_of, as_allocated
from tiphys.node.pod import commands as c
from tiphys.node.pod import reports, resizing, setup, spec, starting, stopping
from tiphys.node.pod.facts import Ending, Step
from tiphys.node.pod.parts import Parts, Work
from tiphys.node.pod.phase import FINAL
from tiphys.node.pod.plan import plan
from tiphys.node.pod.state import PodState
from tiphys.node.pod.status import Host, pod_status
from tiphys.node.volumes.context import VolumeProblem
from tiphys.node.volumes.volumes import follows_metadata

Object = dict[str, Any]

# What went wrong in a way that we did not foresee is tried again after this.
SURPRISE_SECONDS = 10.0
# Operations that a deletion does not wait for.
INTERRUPTIBLE = ("fetch", "hook")

log = logging.getLogger(__name__)


class PodWorker:
    """`run()` ends when nothing of the pod is left to be done on this node."""

    def __init__(self, state: PodState, parts: Parts) -> None:
        self.state = state
        self.parts = parts
        self.work = Work(state, parts, self._spawn)
        # A pod that was over when we first saw it is only cleared away: its status is written.
        self._silent = (state.pod.get("status") or {}).get("phase") in FINAL
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._report_at = 0.0
        self._down: asyncio.Event | None = None

    # what the agent says

    def update(self, pod: Object) -> None:
        """The object has changed."""
        old = self.state.pod
        pod = self._with_what_it_was_given(pod)
        for container in spec.all_containers(pod):
            before = spec.container_of(old, container["name"]) or {}
            if before.get("image") != container.get("image"):
                known = self.state.container(container["name"])
                known.image, known.waiting, known.retry_at = None, None, 0.0
        if old["metadata"].get("deletionTimestamp") != pod["metadata"].get("deletionTimestamp"):
            self.end(Ending(self._deletion_deadline(), deleting=True))
        if follows_metadata(pod) and any(
            old["metadata"].get(part) != pod["metadata"].get(part) for part in ("labels", "annotations")
        ):
            self.state.volumes_stale = True
        self.state.wake()

    def _with_what_it_was_given(self, pod: Object) -> Object:
        """Resources that are new in the object are a wish: the agent grants it, or not yet."""
        state, old = self.state, self.state.pod
        same = pod["metadata"].get("generation", -1) == old["metadata"].get("generation")
        given = pod if same and state.desired is None else as_allocated(pod, allocation_of(old))
        state.pod, state.desired = given, None if given is pod else pod
        return given

    def removed(self) -> None:
        """The object has left the API."""
        self.end(Ending(self.parts.now(), deleting=True, gone=True))

    def end(self, ending: Ending) -> None:
        """Everything stops. What was said before holds on; the earlier deadline wins."""
        known = self.state.ending
        if known is not None:
            ending = Ending(
                min(known.deadline, ending.deadline),
                known.reason or ending.reason,
                known.message or ending.message,
                known.deleting or ending.deleting,
                known.gone or ending.gone,
            )
        self.state.ending = ending
        for name, container in self.state.containers.items():
            hurried = known is not None and ending.deadline < known.deadline and container.operation == "stop"
            if container.operation in INTERRUPTIBLE or hurried:
                self._interrupt(name)
        self.state.wake()

    async def ended(self) -> None:
        """Until the pod is taken down; its last status has been sent then."""
        if not self.state.torn_down:
            self._down = self._down or asyncio.Event()
            await self._down.wait()

    def _deletion_deadline(self) -> float:
        return self.parts.now() + spec.deletion_grace_seconds(self.state.pod)

    def _interrupt(self, name: str) -> None:
        task = self._operations.get(name)
        if task is not None:
            task.cancel()

    # the loop

    async def run(self) -> None:
        # Also of a pod that is Failed or Succeeded already: whoever reported that may have died before it removed it.
        ending = self.state.ending
        if self.state.pod["metadata"].get("deletionTimestamp") and not (ending is not None and ending.deleting):
            self.end(Ending(self._deletion_deadline(), deleting=True))
        self._forget_operations()
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._adopt()
            while not self.state.over:
                self.state.changed.clear()
                wake_at = self._step()
                if not self.state.changed.is_set():
                    await self._sleep(wake_at)
            for task in list(self._tasks):
                task.cancel()

    async def _sleep(self, wake_at: float) -> None:
        delay = max(wake_at - self.parts.now(), 0.0) if wake_at else None
        try:
            async with asyncio.timeout(delay):
                await self.state.changed.wait()
        except TimeoutError:
            return

    def _forget_operations(self) -> None:
        """After a failure of this worker nothing is under way any more."""
        state = self.state
        state.sandbox, state.volumes = replace(state.sandbox, busy=False), replace(state.volumes, busy=False)
        state.tearing_down = False
        if state.resize is not None:
            state.resize = replace(state.resize, step=Step())
        for container in state.containers.values():
            container.operation = ""

    def _adopt(self) -> None:
        """Runs that go on from before this agent: follow and probe them."""
        for container in spec.every_container(self.state.pod):
            known = self.state.container(container["name"])
            for past in list(known.runs):
                if past.state == "exited" and not past.stale and not past.message:
                    known.update(past.id, message=starting.message_of(self.work, container["name"], past))
            run = known.runs[-1] if known.runs else None
            if run is None or run.state != "running" or run.stale:
                continue
            self.parts.logs.keep(run.id, self.parts.logs.path(self.state.pod, container["name"], run.attempt))
            starting.follow(self.work, container["name"], run.id)
            starting.begin_probes(self.work, container, run.id, already_started=known.started)

    def _step(self) -> float:
        """One look at everything; when to look again at the latest (0.0: only when woken)."""
        now = self.parts.now()
        times = [0.0]
        for command in plan(self.state.pod, self.state.facts(), now):
            if isinstance(command, c.WakeAt):
                times.append(command.at)
            else:
                self._perform(command, now)
        times += [self._report(now), self._refresh_volumes(now)]
        return min((at for at in times if at), default=0.0)

    def _perform(self, command: c.Command, now: float) -> None:
        state, work = self.state, self.work
        match command:
            case c.CreateSandbox():
                state.sandbox = replace(state.sandbox, busy=True)
                self._begin("", setup.create_sandbox(work), self._sandbox_surprised)
            case c.PrepareVolumes():
                state.volumes = replace(state.volumes, busy=True)
                self._begin("", setup.prepare_volumes(work), self._volumes_surprised)
            case c.FetchImage(name):
                self._operate(name, "fetch", starting.fetch_image(work, name))
            case c.Start(name, attempt):
                self._operate(name, "start", starting.start(work, name, attempt))
            case c.Stop(name):
                self._operate(name, "stop", stopping.stop(work, command))
            case c.ApplyResize() if state.resize is not None:
                state.resize = replace(state.resize, step=replace(state.resize.step, busy=True))
                self._begin("", resizing.apply(work), self._resize_surprised)
            case c.BeginAnew():
                state.begin_anew()
            case c.EndPod(reason, message):
                work.normal(reason, message)
                self.end(Ending(now + spec.grace_seconds(state.pod), reason, message))
            case c.TearDown():
                state.tearing_down = True
                self._report(now, at_once=True)
                self._begin("", self._tear_down(), lambda _: None)

    async def _tear_down(self) -> None:
        try:
            await stopping.tear_down(self.work)
        except VolumeProblem as problem:
            # A driver that is away is waited for: what it has mounted is its own to unmount.
            log.warning("pod %s is not taken down yet: %s", spec.described(self.state.pod), problem)
            await asyncio.sleep(SURPRISE_SECONDS)
        except Exception:
            # Whatever holds the pod here (a busy mount, a runtime that is away) may let go later.
            log.exception("pod %s could not be taken down, trying again", spec.described(self.state.pod))
            await asyncio.sleep(SURPRISE_SECONDS)
        finally:
            self.state.tearing_down = False
            if self._down is not None and self.state.torn_down:
                self._down.set()

    def _refresh_volumes(self, now: float) -> float:
        """Rewrite volumes whose objects changed or whose token is due; when the next is due."""
        state = self.state
        if not state.volumes.done or state.volumes.busy or state.ending is not None or state.torn_down:
            return 0.0
        due = state.volumes_due_at
        if state.volumes_stale or (due and now >= due):
            state.volumes = replace(state.volumes, busy=True)
            self._begin("", setup.prepare_volumes(self.work), self._volumes_surprised)
            return 0.0
        return due

    # reporting

    def _report(self, now: float, *, at_once: bool = False) -> float:
        """Send the status if it is new and urgent or due; otherwise when it will be due."""
        state = self.state
        if self._silent or (state.ending is not None and state.ending.gone):
            return 0.0
        previous = reports.previous_of(state.status, state.pod)
        status = pod_status(state.pod, state.facts(), previous, now, Host(self.parts.settings.node_ip))
        if status == state.status:
            self._report_at = 0.0
            return 0.0
        due = at_once or (self._report_at and now >= self._report_at) or reports.is_urgent(state.status, status)
        if due:
            state.status, self._report_at = status, 0.0
            self.parts.statuses.submit(state.pod, status)
        elif not self._report_at:
            self._report_at = now + reports.GATHER_SECONDS
        return self._report_at

    # tasks

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return self._begin("", work, lambda _: None, name)

    def _operate(self, name: str, operation: str, work: Coroutine[Any, Any, None]) -> None:
        """An operation on one container; nothing else is begun on it meanwhile."""
        self.state.container(name).operation = operation

        def surprised(error: Exception) -> None:
            wait = self.parts.now() + SURPRISE_SECONDS
            self.state.container(name).wait_for("CreateContainerError", str(error), wait)

        self._begin(name, work, surprised)

    def _begin(
        self, name: str, work: Coroutine[Any, Any, None], surprised: Callable[[Exception], None], title: str = ""
    ) -> asyncio.Task[None]:
        assert self._group is not None
        task = self._group.create_task(self._guarded(work, surprised), name=title or f"pod {name}")
        self._tasks.add(task)
        if name:
            self._operations[name] = task
        task.add_done_callback(lambda done: self._ended(name, done))
        return task

    async def _guarded(self, work: Coroutine[Any, Any, None], surprised: Callable[[Exception], None]) -> None:
        try:
            await work
        except Exception as error:
            # One pod's trouble must not end the agent, which is all pods'.
            log.exception("an operation of pod %s failed", spec.described(self.state.pod))
            surprised(error)

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if name and self._operations.get(name) is task:
            del self._operations[name]
            self.state.container(name).operation = ""
        self.state.wake()

    def _sandbox_surprised(self, error: Exception) -> None:
        self.work.warning("FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
        self.state.sandbox = setup.failed(Step(failures=5), self.parts.now())

    def _resize_surprised(self, error: Exception) -> None:
        self.work.warning("ResizeError", f"Pod resize error: {error}")
        if self.state.resize is not None:
            self.state.resize = replace(self.state.resize, step=setup.failed(Step(failures=5), self.parts.now()))

    def _volumes_surprised(self, error: Exception) -> None:
        self.work.warning("FailedMount", f"MountVolume.SetUp failed: {error}")
        self.state.volumes = setup.failed(Step(failures=5), self.parts.now())
