"""
Decide the next steps of one pod on its node.

Pure: the pod, the facts and `now` go in, commands come out. Level-triggered: the answer depends on what is, never on
which event woke us; asked again with the same facts it answers the same, and a settled pod gets no command.

The order of a pod's life: sandbox, volumes and the first image side by side; init containers one after another (a
sidecar lets the next begin once it has started); the main containers together; at the end the mains stop first, then
the sidecars in reverse order, all within one grace period.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api import pods
from tiphys.node import backoff
from tiphys.node.pod import spec
from tiphys.node.pod.commands import (
    ApplyResize,
    BeginAnew,
    Command,
    CreateSandbox,
    EndPod,
    FetchImage,
    PrepareVolumes,
    Start,
    Stop,
    TearDown,
    WakeAt,
)
from tiphys.node.pod.facts import ContainerFacts, Ending, PodFacts, Run

Pod = Mapping[str, Any]
Container = Mapping[str, Any]

DEADLINE_MESSAGE = "Pod was active on the node longer than the specified deadline"


def plan(pod: Pod, facts: PodFacts, now: float) -> list[Command]:
    """The commands that bring the pod one step on."""
    if facts.refused is not None or facts.torn_down:
        return _tear_down(facts)
    if facts.ending is not None:
        return _stop_everything(pod, facts, facts.ending, now)
    if restarts_all(pod, facts):
        return _begin_anew(pod, facts)
    if has_finished(pod, facts):
        deadline = now + spec.grace_seconds(pod)
        return _stop_everything(pod, facts, Ending(deadline), now)
    deadline_at = active_deadline(pod, facts)
    if deadline_at and now >= deadline_at:
        return [EndPod("DeadlineExceeded", DEADLINE_MESSAGE)]
    commands = _run(pod, facts, now)
    if deadline_at:
        commands.append(WakeAt(deadline_at))
    return commands


def active_deadline(pod: Pod, facts: PodFacts) -> float:
    """When activeDeadlineSeconds is over; 0.0 is never."""
    seconds = pod["spec"].get("activeDeadlineSeconds")
    return facts.started_at + seconds if seconds is not None and facts.started_at else 0.0


def has_finished(pod: Pod, facts: PodFacts) -> bool:
    """Whether nothing will ever be started again: the mains are over, or an init container failed for good."""
    if init_failed(pod, facts):
        return True
    return all(_is_over(pod, container, facts.container(container["name"])) for container in spec.main_containers(pod))


def init_failed(pod: Pod, facts: PodFacts) -> bool:
    """Whether an init container has failed and is not to be run again."""
    for container in spec.init_containers(pod):
        run = facts.container(container["name"]).current
        if spec.is_sidecar(container) or run is None or run.state != "exited" or run.exit_code == 0:
            continue
        if not spec.should_restart(pod, container, run.exit_code):
            return True
    return False


def restarts_all(pod: Pod, facts: PodFacts) -> bool:
    """Whether a container has ended in a way that makes all containers begin anew."""
    for container in spec.all_containers(pod):
        if container.get("restartPolicyRules"):
            run = facts.container(container["name"]).current
            if (
                run is not None
                and run.state == "exited"
                and pods.restart_rule(container, run.exit_code) == pods.RESTART_ALL
            ):
                return True
    return False


def _begin_anew(pod: Pod, facts: PodFacts) -> list[Command]:
    """Everything that runs is stopped at once, without hooks and grace; then the start is made again."""
    going = [c for c in spec.all_containers(pod) if facts.container(c["name"]).is_running]
    if not going and not any(facts.container(c["name"]).busy for c in spec.all_containers(pod)):
        return [BeginAnew()]
    return [
        Stop(c["name"], run.id, 0, f"Container {c['name']} is stopped: all containers restart", abrupt=True)
        for c in going
        if (run := facts.container(c["name"]).latest) is not None and not facts.container(c["name"]).busy
    ]


def _is_over(pod: Pod, container: Container, known: ContainerFacts) -> bool:
    # A run of a lost sandbox counts too: what had succeeded before a reboot is not run again.
    run = known.latest
    if run is None or known.busy or run.state != "exited" or run.void:
        return False
    return not spec.should_restart(pod, container, run.exit_code)


# going up


def _run(pod: Pod, facts: PodFacts, now: float) -> list[Command]:
    """Set up what is missing and start what is next."""
    commands = [*_stops(pod, facts), *_resize(pod, facts, now)]
    ephemeral = [c for c in spec.ephemeral_containers(pod) if facts.container(c["name"]).latest is None]
    wanted = [*ephemeral, *_wanted(pod, facts)]
    for command, step in ((CreateSandbox(), facts.sandbox), (PrepareVolumes(), facts.volumes)):
        if step.done or step.busy:
            continue
        commands.append(command if now >= step.retry_at else WakeAt(step.retry_at))
    for container in wanted:
        commands += _bring_up(container, facts, now)
    return commands


def _wanted(pod: Pod, facts: PodFacts) -> list[Container]:
    """The containers that should run now and do not."""
    wanted: list[Container] = []
    for container in spec.init_containers(pod):
        known = facts.container(container["name"])
        if spec.is_sidecar(container):
            if not known.is_running:
                wanted.append(container)
            if not known.is_running or not known.started:
                if facts.initialized:
                    continue
                return wanted
        elif not facts.initialized and not _init_is_done(known):
            if not known.is_running:
                wanted.append(container)
            return wanted
    for container in spec.main_containers(pod):
        known = facts.container(container["name"])
        if not known.is_running and not _is_over(pod, container, known):
            wanted.append(container)
    return wanted


def _init_is_done(known: ContainerFacts) -> bool:
    run = known.current
    return run is not None and run.state == "exited" and run.exit_code == 0 and not known.busy


def _bring_up(container: Container, facts: PodFacts, now: float) -> list[Command]:
    """Fetch the image, then start, each as soon as back-off and set-up allow."""
    known = facts.container(container["name"])
    if known.busy:
        return []
    not_before = max(known.retry_at, restart_at(known))
    if now < not_before:
        return [WakeAt(not_before)]
    if not known.image_ready:
        return [FetchImage(container["name"])]
    if facts.sandbox.done and facts.volumes.done:
        return [Start(container["name"], known.attempts)]
    return []


def restart_at(known: ContainerFacts) -> float:
    """When the crash back-off of an exited container is over."""
    run = known.latest
    if run is None or run.state != "exited":
        return 0.0
    return backoff.waits_until(known.backoff, run.finished_at)


def _stops(pod: Pod, facts: PodFacts) -> list[Command]:
    """Running containers that failed a probe, or whose image has changed."""
    commands: list[Command] = []
    for container in spec.all_containers(pod):
        known = facts.container(container["name"])
        run = known.latest
        if run is None or known.busy or not known.is_running:
            continue
        if known.unhealthy:
            grace = known.kill_grace if known.kill_grace is not None else spec.grace_seconds(pod)
            commands.append(_stop(container, run, grace, known.unhealthy))
        elif _is_outdated(container, run):
            if facts.resize is None:
                text = f"Container {container['name']} definition changed, will be restarted"
            elif facts.resize.step.done:
                text = f"Container {container['name']} resize requires restart"
            else:
                continue  # the pod as a whole grows first
            commands.append(_stop(container, run, spec.grace_seconds(pod), text))
    return commands


def _is_outdated(container: Container, run: Run) -> bool:
    """Whether a run is of another image than its container is now, or of resources that only a restart changes."""
    return bool(run.hash) and run.hash != spec.spec_hash(container)


def _resize(pod: Pod, facts: PodFacts, now: float) -> list[Command]:
    """Write the limits; once more when those that had to be run anew for them are."""
    resize = facts.resize
    if resize is None or resize.step.busy or facts.sandbox.busy:
        return []
    if now < resize.step.retry_at:
        return [WakeAt(resize.step.retry_at)]
    return [] if resize.step.done and awaits_restart(pod, facts) else [ApplyResize()]


def awaits_restart(pod: Pod, facts: PodFacts) -> bool:
    """Whether a container is still running with resources that only a restart changes."""
    for container in spec.all_containers(pod):
        known = facts.container(container["name"])
        if known.latest is not None and known.is_running and _is_outdated(container, known.latest):
            return True
    return False


def _stop(container: Container, run: Run, grace: float, message: str) -> Stop:
    return Stop(container["name"], run.id, max(grace, spec.GRACE_SECONDS_MIN), message)


# coming down


def _stop_everything(pod: Pod, facts: PodFacts, ending: Ending, now: float) -> list[Command]:
    """Mains first, all together; then the sidecars, last begun first; then tear down."""
    left = max(ending.deadline - now, spec.GRACE_SECONDS_MIN)
    inits = spec.init_containers(pod)
    first = [*spec.main_containers(pod), *(c for c in inits if not spec.is_sidecar(c)), *spec.ephemeral_containers(pod)]
    turns = [first, *([c] for c in reversed(inits) if spec.is_sidecar(c))]
    for turn in turns:
        going = [c for c in turn if facts.container(c["name"]).is_running or facts.container(c["name"]).busy]
        if going:
            return [command for c in going for command in _end(c, facts, left)]
    return _tear_down(facts)


def _end(container: Container, facts: PodFacts, left: float) -> list[Command]:
    known = facts.container(container["name"])
    if known.busy or known.latest is None:
        return []
    return [_stop(container, known.latest, left, f"Stopping container {container['name']}")]


def _tear_down(facts: PodFacts) -> list[Command]:
    settled = facts.torn_down and not (facts.ending is not None and (facts.ending.deleting or facts.ending.gone))
    busy = facts.tearing_down or facts.anything_running or facts.sandbox.busy or facts.volumes.busy
    return [] if settled or busy else [TearDown()]
