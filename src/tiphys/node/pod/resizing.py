"""
A resize in place: granted or held back, its limits written in an order that the kernel takes, its end told.

A group's limit may never be below that of a group in it, so the pod is first given the larger of what it had and what
it gets, then its containers get theirs, and the pod last. A container that wants a restart for it keeps what it has
until it is run anew. Memory is not taken from who uses it: that would kill.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tiphys.node import allocation, limits, translate
from tiphys.node.pod import spec
from tiphys.node.pod.facts import Held, Resize, Step, Waiting
from tiphys.node.pod.parts import Work
from tiphys.node.pod.plan import awaits_restart
from tiphys.runtime.door import Resources, RuntimeFailure

Object = dict[str, Any]

RETRY_FIRST_SECONDS = 2.0
RETRY_MAX_SECONDS = 60.0


class CannotShrink(Exception):
    """Memory that is in use is not taken away."""


def hold(work: Work, why: Waiting) -> bool:
    """The pod goes on with what it has. Whether that is news."""
    state, wanted = work.state, work.state.desired
    assert wanted is not None
    generation = int(wanted["metadata"].get("generation") or 0)
    held = Held(why.reason, why.message, generation)
    if held == state.held:
        return False
    state.held = held
    text = f"Pod resize {why.reason}: {allocation.summary(wanted, generation, why.message)}"
    work.warning(f"Resize{why.reason}", text)
    state.wake()
    return True


def grant(work: Work) -> None:
    """The pod has what it wants from now on, and its limits follow."""
    state, wanted = work.state, work.state.desired
    assert wanted is not None
    generation = int(wanted["metadata"].get("generation") or 0)
    before = state.resize.before if state.resize is not None else allocation.allocation_of(state.pod)
    busy = state.resize is not None and state.resize.step.busy
    state.pod, state.desired, state.held = wanted, None, None
    state.resize = Resize(before, generation, Step(busy=busy))
    work.normal("ResizeStarted", f"Pod resize started: {allocation.summary(wanted, generation)}")
    state.wake()


def note_late_start(work: Work, container: Mapping[str, Any]) -> None:
    """A run was made from resources that were changed meanwhile: they are written once more."""
    state = work.state
    now = spec.container_of(work.pod, container["name"]) or {}
    if now.get("resources") != container.get("resources") and state.resize is None:
        generation = int(work.pod["metadata"].get("generation") or 0)
        given = allocation.allocation_of(work.pod)
        before = {**given, "containers": {**given["containers"], container["name"]: container.get("resources") or {}}}
        state.resize = Resize(before, generation)


async def apply(work: Work) -> None:
    """Write what can be written; the resize is over when no container waits for its restart."""
    state, now = work.state, work.parts.now
    begun, pod = state.resize, work.pod
    assert begun is not None
    error, over = "", False
    try:
        await _shrink_nobody(work, pod, begun.before)
        over = await _write(work, pod, begun.before)
    except (CannotShrink, RuntimeFailure, OSError) as failure:
        error = str(failure)
    current = state.resize
    if current is None or current.generation != begun.generation:
        # Another was granted meanwhile: it is written next.
        state.resize = replace(current, step=Step()) if current is not None else None
    elif error:
        _tell_failure(work, current, error)
        failures = current.step.failures
        delay = min(RETRY_FIRST_SECONDS * 2.0**failures, RETRY_MAX_SECONDS)
        state.resize = replace(current, error=error, step=Step(retry_at=now() + delay, failures=failures + 1))
    elif over:
        state.resize = None
        work.normal("ResizeCompleted", f"Pod resize completed: {allocation.summary(pod, current.generation)}")
        work.parts.resized(work.uid)
    else:
        state.resize = replace(current, error="", step=Step(done=True))


def _tell_failure(work: Work, resize: Resize, error: str) -> None:
    if error != resize.error:
        text = f"Pod resize error: {allocation.summary(work.pod, resize.generation, error)}"
        work.warning("ResizeError", text)


async def _write(work: Work, pod: Object, before: Mapping[str, Any]) -> bool:
    """Whether everything is in force."""
    runtime, pids = work.parts.runtime, work.parts.settings.pod_pids_limit
    if not work.state.sandbox.done:
        return True  # what is made from now on is made with the new limits
    whole = limits.pod_resources(pod, pids)
    had = limits.pod_resources(allocation.as_allocated(pod, before), pids)
    sandbox = translate.sandbox_id(pod)
    await runtime.update_sandbox(sandbox, _larger(had, whole))
    for container in spec.all_containers(pod):
        runs = work.state.container(container["name"]).runs
        run = runs[-1] if runs else None
        if run is None or run.state != "running" or run.stale or run.hash != spec.spec_hash(container):
            continue
        await runtime.update(run.id, limits.container_resources(container, pids))
    if awaits_restart(pod, work.state.facts()):
        return False
    await runtime.update_sandbox(sandbox, whole)
    return True


def _larger(one: Resources, other: Resources) -> Resources:
    """0 is no limit, and the largest."""

    def most(first: int, second: int) -> int:
        return max(first, second) if first and second else 0

    return replace(
        other,
        cpu_quota_us=most(one.cpu_quota_us, other.cpu_quota_us),
        memory_limit_bytes=most(one.memory_limit_bytes, other.memory_limit_bytes),
    )


async def _shrink_nobody(work: Work, pod: Object, before: Mapping[str, Any]) -> None:
    """CannotShrink when a limit of memory would be below what is in use."""
    runtime, objections = work.parts.runtime, []
    had = allocation.as_allocated(pod, before)
    if not work.state.sandbox.done:
        return
    limit = limits.pod_resources(pod).memory_limit_bytes
    if _is_less(limit, limits.pod_resources(had).memory_limit_bytes) and not awaits_restart(pod, work.state.facts()):
        used = (await runtime.sandbox_usage(translate.sandbox_id(pod))).memory_working_set_bytes
        if used > limit:
            objections.append(f"attempting to set pod memory limit ({limit}) below current usage ({used})")
    for container in spec.all_containers(pod):
        name = container["name"]
        runs = work.state.container(name).runs
        if not runs or runs[-1].state != "running" or runs[-1].stale or runs[-1].hash != spec.spec_hash(container):
            continue
        limit = limits.container_resources(container).memory_limit_bytes
        if _is_less(limit, limits.container_resources(spec.container_of(had, name) or {}).memory_limit_bytes):
            used = (await runtime.usage(runs[-1].id)).memory_working_set_bytes
            if used > limit:
                text = f'attempting to set container "{name}" memory limit ({limit}) below current usage ({used})'
                objections.append(text)
    if objections:
        listed = objections[0] if len(objections) == 1 else f"[{', '.join(objections)}]"
        raise CannotShrink(f"cannot decrease memory limits: {listed}")


def _is_less(limit: int, before: int) -> bool:
    return bool(limit) and (not before or limit < before)
