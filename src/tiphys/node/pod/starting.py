"""Starting a container: its image, its run, its hook, its probes; and what happens when the run has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tiphys.api.errors import StatusError
from tiphys.node import backoff, env_files, hooks, log_files, translate
from tiphys.node.devices.devices import DevicesFailed
from tiphys.node.devices.grant import given
from tiphys.node.environment import ConfigError, Sources, references
from tiphys.node.files import FALLBACK_LINES_MAX, FALLBACK_MESSAGE_MAX, PodFiles, last_lines
from tiphys.node.images import ImageProblem
from tiphys.node.pod import resizing, spec
from tiphys.node.pod.container_status import UNKNOWN_REASON
from tiphys.node.pod.facts import Run
from tiphys.node.pod.parts import Work
from tiphys.node.pod.plan import restart_at
from tiphys.node.pod.state import ContainerState
from tiphys.node.probes.outcome import Outcome
from tiphys.node.probes.prober import Prober, Report
from tiphys.node.volumes import image as image_volumes
from tiphys.node.volumes.context import VolumeProblem
from tiphys.runtime.door import (
    ContainerSpec,
    ContainerStatus,
    Image,
    ImageMissing,
    NotFound,
    RuntimeFailure,
    StartFailed,
)

Container = Mapping[str, Any]

CONFIG_RETRY_SECONDS = 10.0
START_FAILED_CODE = 128


async def fetch_image(work: Work, name: str) -> None:
    """The image of a container, or why there is none."""
    known, container = work.state.container(name), _container(work, name)
    try:
        await image_volumes.bring(work.pod, container, work.parts.images, work.parts.runtime, work.parts.settings)
        known.image = await work.parts.images.ensure(work.pod, container)
    except ImageProblem as problem:
        known.wait_for(problem.reason, problem.message, problem.retry_at)
    except (StatusError, RuntimeFailure, OSError) as error:
        known.wait_for("ErrImagePull", str(error), work.parts.now() + CONFIG_RETRY_SECONDS)
    else:
        known.waiting, known.retry_at = None, 0.0


def _container(work: Work, name: str) -> Container:
    container = spec.container_of(work.pod, name)
    assert container is not None, f"the plan names a container that the pod does not have: {name}"
    return container


async def start(work: Work, name: str, attempt: int) -> None:
    """Make and start one run; its postStart hook; then it is followed and probed."""
    known, container = work.state.container(name), _container(work, name)
    image = known.image
    # A later run looks again: the image may have been removed meanwhile.
    known.image = None
    if image is None:
        return
    try:
        wanted = await _container_spec(work, container, attempt, image)
        await work.parts.runtime.prepare(wanted)
    except (ConfigError, VolumeProblem, DevicesFailed) as error:
        _cannot_start(work, name, "CreateContainerConfigError", str(error))
        return
    except ImageMissing:
        return
    except (RuntimeFailure, StatusError, OSError) as error:
        _cannot_start(work, name, "CreateContainerError", str(error))
        return
    work.normal("Created", "Container created", name)
    _begin(work, container, wanted)
    if await _run(work, known, name, wanted.id):
        follow(work, name, wanted.id)
        resizing.note_late_start(work, container)
        await _after_start(work, container, wanted.id)
    await _remove_older(work, known, name)


def _cannot_start(work: Work, name: str, reason: str, message: str) -> None:
    work.warning("Failed", f"Error: {message}", name)
    work.state.container(name).wait_for(reason, message, work.parts.now() + CONFIG_RETRY_SECONDS)


async def _container_spec(work: Work, container: Container, attempt: int, image: Image) -> ContainerSpec:
    state, parts = work.state, work.parts
    wanted = references(work.pod)
    objects = dict(zip(wanted, await asyncio.gather(*(parts.objects.get(ref) for ref in wanted)), strict=True))
    sources = Sources(
        objects=objects,
        services=list(parts.services()),
        pod_ip=state.address,
        host_ip=parts.settings.node_ip,
        allocatable=parts.machine.allocatable,
    )
    if env_files.wanted(container):
        sources = replace(sources, from_file=env_files.lookup(container, state.mounts))
    path = parts.logs.path(work.pod, container["name"], attempt)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()  # so that it can be watched and read from the first moment on
    place = translate.Place(parts.settings, state.mounts, sources, str(path), parts.machine.memory_bytes)
    made = translate.container_spec(work.pod, container, attempt, image, place)
    made = given(made, await parts.devices.for_container(work.pod, container))
    return replace(made, pid_of=_target_of(work, container))


def _target_of(work: Work, container: Container) -> str:
    """The run whose processes an ephemeral container is there to look at."""
    name = container.get("targetContainerName")
    if not name:
        return ""
    runs = work.state.container(name).runs
    if not runs or runs[-1].state != "running":
        raise ConfigError(f'unable to find target container "{name}"')
    return runs[-1].id


def _begin(work: Work, container: Container, wanted: ContainerSpec) -> None:
    """The run exists from now on, and the next restart waits longer."""
    known = work.state.container(container["name"])
    before = known.runs[-1] if known.runs else None
    if before is not None and before.state == "exited" and not before.stale:
        known.backoff = backoff.next_entry(known.backoff, before.finished_at, work.parts.now())
    known.begin(
        Run(
            id=wanted.id,
            attempt=int(wanted.labels[translate.ATTEMPT]),
            state="created",
            hash=wanted.labels[translate.HASH],
            image=wanted.labels[translate.IMAGE],
            image_id=wanted.labels[translate.IMAGE_ID],
        )
    )


async def _run(work: Work, known: ContainerState, name: str, run_id: str) -> bool:
    try:
        status = await work.parts.runtime.start(run_id)
    except RuntimeFailure as error:
        work.warning("Failed", f"Error: {error}", name)
        # Only StartFailed leaves an exited container; any other failure is treated the same.
        code = START_FAILED_CODE if isinstance(error, StartFailed) else 255
        ended = {"finished_at": work.parts.now(), "exit_code": code}
        known.update(run_id, state="exited", reason="StartError", message=str(error), **ended)
        known.ended.set()
        _tell_backoff(work, name)
        return False
    work.normal("Started", "Container started", name)
    known.update(run_id, state="running", started_at=status.started_at, user=status.user)
    work.parts.logs.keep(run_id, work.parts.logs.path(work.pod, name, known.runs[-1].attempt))
    return True


async def _after_start(work: Work, container: Container, run_id: str) -> None:
    hook = (container.get("lifecycle") or {}).get("postStart")
    if hook:
        known = work.state.container(container["name"])
        known.operation = "hook"
        work.state.wake()
        hooking = asyncio.ensure_future(hooks.run_hook(work.subject(container, run_id), hook))
        ended = asyncio.ensure_future(known.ended.wait())
        try:
            await asyncio.wait((hooking, ended), return_when=asyncio.FIRST_COMPLETED)
            outcome = hooking.result() if hooking.done() else Outcome(False)
        finally:
            hooking.cancel()
            ended.cancel()
        if not outcome.passed:
            work.warning("FailedPostStartHook", "PostStartHook failed", container["name"])
            if not known.ended.is_set():
                known.unhealthy = "FailedPostStartHook"
            return
    begin_probes(work, container, run_id)


async def _remove_older(work: Work, known: ContainerState, name: str) -> None:
    """The last run and the one before are kept: nobody can ask for more."""
    oldest = known.runs[0].attempt if known.runs else 0
    for attempt in log_files.attempts_on_disk(work.parts.logs.root, work.pod, name):
        if attempt < oldest:
            await work.parts.runtime.remove(spec.run_id(work.uid, name, attempt))
            log_files.remove_run(work.parts.logs.root, work.pod, name, attempt)
            PodFiles(work.pod, work.parts.settings).remove_termination_log(name, attempt)


# probes


def begin_probes(work: Work, container: Container, run_id: str, *, already_started: bool = False) -> None:
    """From now on the run's started and ready flags are kept."""
    known, name = work.state.container(container["name"]), container["name"]
    if not any(container.get(kind) for kind in ("startupProbe", "livenessProbe", "readinessProbe")):
        _report(work, known, run_id, started=True, ready=True)
        return
    prober = Prober(work.subject(container, run_id), _reporter(work, container, run_id))
    if not container.get("startupProbe"):
        # No need to wait for the task: the first status already says so.
        _report(work, known, run_id, started=True, ready=known.ready or not container.get("readinessProbe"))
    work.spawn(_until_ended(known, prober, already_started=already_started), f"probes of {name}")


async def _until_ended(known: ContainerState, prober: Prober, *, already_started: bool) -> None:
    probing = asyncio.ensure_future(prober.run(already_started=already_started))
    ended = asyncio.ensure_future(known.ended.wait())
    try:
        await asyncio.wait((probing, ended), return_when=asyncio.FIRST_COMPLETED)
        if probing.done():
            probing.result()
    finally:
        probing.cancel()
        ended.cancel()
        await asyncio.gather(probing, ended, return_exceptions=True)


def _reporter(work: Work, container: Container, run_id: str) -> Report:
    name = container["name"]
    known = work.state.container(name)

    def failed(kind: str, probe: Mapping[str, Any]) -> None:
        known.unhealthy = f"Container {name} failed {kind} probe, will be restarted"
        known.kill_grace = probe.get("terminationGracePeriodSeconds")
        work.state.wake()

    def note(kind: str, outcome: Outcome) -> None:
        reason = "ProbeWarning" if outcome.warning else "Unhealthy"
        found = "warning" if outcome.warning else "failed"
        work.warning(reason, f"{kind} probe {found}: {outcome.output}", name)

    return Report(
        started=lambda: _report(work, known, run_id, started=True),
        ready=lambda ready: _report(work, known, run_id, ready=ready),
        failed=failed,
        note=note,
    )


def _report(
    work: Work, known: ContainerState, run_id: str, *, started: bool | None = None, ready: bool | None = None
) -> None:
    if not known.runs or known.runs[-1].id != run_id or known.ended.is_set():
        return
    before = (known.started, known.ready)
    known.started = known.started if started is None else started
    known.ready = known.ready if ready is None else ready
    if before != (known.started, known.ready):
        work.state.wake()


# the end of a run


def follow(work: Work, name: str, run_id: str) -> None:
    """Hear of the end of a run."""
    work.spawn(_follow(work, name, run_id), f"wait for {name}")


async def _follow(work: Work, name: str, run_id: str) -> None:
    try:
        status = await work.parts.runtime.wait(run_id)
    except NotFound:
        record_loss(work, name, run_id)
    else:
        record_exit(work, name, status)


def record_exit(work: Work, name: str, status: ContainerStatus) -> None:
    """Idempotent: the follower and a stop both tell."""
    known = work.state.container(name)
    found = next((run for run in known.runs if run.id == status.id), None)
    if found is None or found.state == "exited":
        return
    run = replace(translate.run_of(status), hash=found.hash, image=found.image, image_id=found.image_id)
    run = replace(run, attempt=found.attempt, state="exited", started_at=found.started_at or run.started_at)
    message = message_of(work, name, run)
    known.update(status.id, **{part: getattr(run, part) for part in _ENDINGS}, message=message)
    _over(work, known, status.id)
    _tell_backoff(work, name)


_ENDINGS = ("state", "started_at", "finished_at", "exit_code", "signal", "oom_killed")


def record_loss(work: Work, name: str, run_id: str) -> None:
    """The runtime no longer knows a run that we thought was running."""
    known = work.state.container(name)
    found = next((run for run in known.runs if run.id == run_id), None)
    if found is None or found.state == "exited":
        return
    known.update(run_id, state="exited", finished_at=work.parts.now(), exit_code=137, reason=UNKNOWN_REASON)
    _over(work, known, run_id)


def _over(work: Work, known: ContainerState, run_id: str) -> None:
    known.started = known.ready = False
    known.unhealthy = ""
    known.ended.set()
    work.parts.logs.forget(run_id)
    work.state.wake()


def message_of(work: Work, name: str, run: Run) -> str:
    """The termination message: its own file, or the end of the log after a failure where the pod asks for that."""
    container = spec.container_of(work.pod, name) or {}
    text = PodFiles(work.pod, work.parts.settings).termination_message(name, run.attempt)
    if text or container.get("terminationMessagePolicy") != "FallbackToLogsOnError" or run.exit_code == 0:
        return text
    path = work.parts.logs.path(work.pod, name, run.attempt)
    return last_lines(log_files.last_text_lines(path, FALLBACK_LINES_MAX, FALLBACK_MESSAGE_MAX))


def _tell_backoff(work: Work, name: str) -> None:
    """The event of a container that is about to wait before it is run again."""
    state = work.state
    known, container = state.container(name), spec.container_of(work.pod, name)
    run = known.runs[-1]
    if container is None or state.ending is not None or not spec.should_restart(work.pod, container, run.exit_code):
        return
    if restart_at(known.facts()) > work.parts.now():
        text = f"Back-off restarting failed container {name} in pod {spec.described(work.pod)}"
        work.warning("BackOff", text, name)
