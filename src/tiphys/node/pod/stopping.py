"""Stopping containers and taking a pod down."""

from __future__ import annotations

import asyncio
import contextlib

from tiphys.node import hooks, log_files, translate
from tiphys.node.files import PodFiles
from tiphys.node.pod import spec
from tiphys.node.pod.commands import Stop
from tiphys.node.pod.parts import Work
from tiphys.node.pod.starting import record_exit, record_loss
from tiphys.runtime.door import NotFound

# Rules follow within milliseconds; a cluster whose controllers do not work ends its pods all the same.
WITHDRAWAL_SECONDS_MAX = 2.0


async def stop(work: Work, command: Stop) -> None:
    """The preStop hook, then the stop signal, then KILL: all within the grace period."""
    parts, container = work.parts, spec.container_of(work.pod, command.container)
    deadline = parts.now() + command.grace_seconds
    hook = ((container or {}).get("lifecycle") or {}).get("preStop")
    work.normal("Killing", command.message, command.container)
    if hook and container is not None and not command.abrupt:
        outcome = await hooks.run_hook(work.subject(container, command.id), hook, command.grace_seconds)
        if not outcome.passed:
            work.warning("FailedPreStopHook", "PreStopHook failed", command.container)
    await _withdrawn(work, min(command.grace_seconds, WITHDRAWAL_SECONDS_MAX))
    left = 0.0 if command.abrupt else max(deadline - parts.now(), spec.GRACE_SECONDS_MIN)
    try:
        status = await parts.runtime.stop(command.id, left)
    except NotFound:
        record_loss(work, command.container, command.id)
    else:
        record_exit(work, command.container, status)


async def _withdrawn(work: Work, seconds: float) -> None:
    """A pod that leaves is told to end when no new request can reach it any more: none is refused."""
    ending = work.state.ending
    if ending is None or not (ending.deleting or ending.gone):
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await work.parts.withdrawn(work.uid)


async def tear_down(work: Work) -> None:
    """
    Give everything back. The API learns the end of the containers first: afterwards nothing could tell it again. A
    deleted object is removed last, when nothing of the pod is left on the machine.
    """
    state, parts = work.state, work.parts
    ending = state.ending
    if not state.torn_down:
        if ending is None or not ending.gone:
            await parts.statuses.flushed(work.pod)
        await parts.runtime.remove_sandbox(translate.sandbox_id(work.pod))
        parts.released(work.uid)
        await parts.network.release(work.uid)
        await parts.volumes.release(work.uid)
        parts.devices.release(work.uid)
        state.lease = None
        state.torn_down = True
        state.wake()
        return
    if ending is not None and ending.deleting and not ending.gone:
        parts.statuses.delete(work.pod)
        await parts.statuses.flushed(work.pod)
    await remove_traces(work)
    state.over = True


async def remove_traces(work: Work) -> None:
    """What was kept for `kubectl logs` and the status."""
    parts = work.parts
    for container in work.state.containers.values():
        for run in container.runs:
            parts.logs.forget(run.id)
        container.ended.set()
    await asyncio.to_thread(log_files.remove_pod, parts.logs.root, work.pod)
    await asyncio.to_thread(PodFiles(work.pod, parts.settings).remove)
    parts.images.forget(work.uid)
    parts.statuses.forget(work.uid)
