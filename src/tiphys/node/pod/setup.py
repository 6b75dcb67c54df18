"""Set-up of a pod: its network and sandbox, its volumes. Each says what went wrong and when it is tried again."""

from __future__ import annotations

import asyncio

from tiphys.api.errors import StatusError
from tiphys.network.door import NetworkFailure
from tiphys.node import translate
from tiphys.node.environment import Sources
from tiphys.node.files import PodFiles
from tiphys.node.pod.facts import Step
from tiphys.node.pod.parts import Work
from tiphys.node.volumes.context import Context
from tiphys.node.volumes.volumes import VolumesFailed
from tiphys.runtime.door import RuntimeFailure

# What a RuntimeClass may name; without one it is the same.
HANDLERS = ("crun",)
RETRY_FIRST_SECONDS = 0.5
RETRY_MAX_SECONDS = 30.0
# Rules are written within milliseconds; where they cannot be, the pod waits, and says why.
GUARD_SECONDS_MAX = 10.0


def failed(step: Step, now: float) -> Step:
    """Try again after a pause that doubles."""
    delay = min(RETRY_FIRST_SECONDS * 2.0**step.failures, RETRY_MAX_SECONDS)
    return Step(retry_at=now + delay, failures=step.failures + 1)


async def create_sandbox(work: Work) -> None:
    """Lease, files, sandbox."""
    state, parts = work.state, work.parts
    try:
        if any(run.stale for known in state.containers.values() for run in known.runs):
            work.normal("SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
        if state.leftover_sandbox:
            await parts.runtime.remove_sandbox(translate.sandbox_id(work.pod))
            state.leftover_sandbox = False
        await _find_handler(work)
        await _connect(work)
        PodFiles(work.pod, parts.settings).write(state.address)
        await parts.runtime.create_sandbox(translate.sandbox_spec(work.pod, state.lease, parts.settings))
    except (NetworkFailure, RuntimeFailure, StatusError, OSError) as error:
        work.warning("FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
        state.sandbox = failed(state.sandbox, parts.now())
    else:
        state.sandbox = Step(done=True)


async def _find_handler(work: Work) -> None:
    """RuntimeFailure for a pod that wants to be run by something that is not here."""
    name = work.pod["spec"].get("runtimeClassName")
    if not name:
        return
    found = await work.parts.objects.runtime_class(name)
    if found is None:
        raise RuntimeFailure(f'failed to get sandbox runtime: runtimeclass.node.k8s.io "{name}" not found')
    if found["handler"] not in HANDLERS:
        raise RuntimeFailure(f'failed to get sandbox runtime: no runtime for "{found["handler"]}" is configured')


async def _connect(work: Work) -> None:
    state, parts = work.state, work.parts
    if work.pod["spec"].get("hostNetwork"):
        state.address = parts.settings.node_ip
        return
    state.lease = await parts.network.acquire(work.uid, translate.port_forwards(work.pod))
    await _guarded(work, state.lease.address)
    state.address = state.lease.address


async def _guarded(work: Work, address: str) -> None:
    """Nothing of the pod runs before its network policies hold: it is never reached by whom they keep away."""
    try:
        async with asyncio.timeout(GUARD_SECONDS_MAX):
            await work.parts.guarded(work.pod, address)
    except TimeoutError:
        raise NetworkFailure(f"its network policies were not in force within {GUARD_SECONDS_MAX:.0f} s") from None


async def prepare_volumes(work: Work) -> None:
    """Set up what containers mount, or bring it up to date."""
    state, parts = work.state, work.parts
    first = not state.volumes.done
    state.volumes_stale = False
    try:
        prepared = await parts.volumes.prepare(_context(work), lambda: note_change(work))
    except (VolumesFailed, StatusError, OSError) as error:
        messages = error.messages if isinstance(error, VolumesFailed) else [f"MountVolume.SetUp failed: {error}"]
        for message in messages:
            work.warning("FailedMount", message)
        retry = failed(state.volumes, parts.now())
        if first:
            state.volumes = retry
        else:
            # What is mounted stays as it is; only the refresh is tried again.
            state.volumes = Step(done=True, failures=retry.failures)
            state.volumes_due_at = retry.retry_at
    else:
        state.mounts = prepared.paths
        state.volumes_due_at = prepared.due_at
        state.volumes = Step(done=True)


def _context(work: Work) -> Context:
    parts = work.parts
    sources = Sources(pod_ip=work.state.address, host_ip=parts.settings.node_ip, allocatable=parts.machine.allocatable)
    return Context(work.pod, parts.objects, parts.settings, sources, parts.now)


def note_change(work: Work) -> None:
    """Something the pod refers to is new: whatever waits for it is tried at once."""
    state = work.state
    if state.volumes.done:
        state.volumes_stale = True
    elif not state.volumes.busy:
        state.volumes = Step(failures=state.volumes.failures)
    for container in state.containers.values():
        if container.waiting is not None and container.waiting.reason == "CreateContainerConfigError":
            container.retry_at = 0.0
    state.wake()
