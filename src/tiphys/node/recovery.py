"""
What is still there from before this agent: after a kill of the agent, or a reboot of the machine.

Two witnesses are heard: the runtime and network tell what runs and what ran; the pod's status in the API tells what
was reported. The runtime is believed first. A run that was reported and of which nothing is found (a reboot) counts as
lost, so that its attempt is never made twice: a pod that may run only once does not run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tiphys.api.objects import parse_timestamp
from tiphys.network.door import Lease, Network
from tiphys.node import translate
from tiphys.node.pod import spec
from tiphys.node.pod.container_status import LOST_EXIT_CODE, LOST_MESSAGE, UNKNOWN_REASON
from tiphys.node.pod.facts import Ending, Run, Step
from tiphys.node.pod.phase import FINAL
from tiphys.node.pod.state import ContainerState, PodState
from tiphys.runtime.door import ContainerStatus, Runtime

Pod = Mapping[str, Any]
Object = dict[str, Any]


@dataclass(slots=True)
class Remains:
    """Of one pod uid."""

    has_sandbox: bool = False
    lease: Lease | None = None
    containers: list[ContainerStatus] = field(default_factory=list)


async def survey(runtime: Runtime, network: Network) -> dict[str, Remains]:
    """Everything that is found, by pod uid."""
    found: dict[str, Remains] = {}
    for sandbox in await runtime.sandboxes():
        found.setdefault(sandbox.id, Remains()).has_sandbox = True
    for status in await runtime.containers():
        found.setdefault(status.sandbox, Remains()).containers.append(status)
    for lease in await network.leases():
        found.setdefault(lease.owner, Remains()).lease = lease
    return found


def state_of(pod: Object, remains: Remains, now: float) -> PodState:
    """The state from which a worker goes on."""
    status = pod.get("status") or {}
    state = PodState(pod, status=dict(status))
    state.started_at = parse_timestamp(status["startTime"]) if status.get("startTime") else now
    on_host = bool(pod["spec"].get("hostNetwork"))
    alive = remains.has_sandbox and (on_host or remains.lease is not None)
    state.leftover_sandbox = not alive and (remains.has_sandbox or bool(remains.containers))
    if alive:
        state.sandbox, state.lease = Step(done=True), remains.lease
        state.address = remains.lease.address if remains.lease is not None else str(status.get("hostIP") or "")
    for container in spec.every_container(pod):
        state.containers[container["name"]] = _container(container["name"], status, remains, alive=alive, now=now)
    if status.get("phase") in FINAL:
        state.ending = Ending(now, status.get("reason") or "", status.get("message") or "")
    return state


def _container(name: str, status: Object, remains: Remains, *, alive: bool, now: float) -> ContainerState:
    known = ContainerState()
    own = [found for found in remains.containers if found.name == name and found.state != "created"]
    runs = {run.attempt: run for run in map(translate.run_of, own)}
    reported = _reported(name, status)
    for run in runs_of_status(reported, now):
        runs.setdefault(run.attempt, run)
    for attempt in sorted(runs):
        run = runs[attempt]
        if not alive and run.state == "running":
            run = _lost(run, now)
        known.add(run if alive and not run.stale else replace(run, stale=True))
    if not known.runs or known.runs[-1].state != "running":
        known.ended.set()
    elif reported.get("containerID", "").endswith(known.runs[-1].id):
        # Readiness does not flap because the agent was restarted.
        known.started, known.ready = bool(reported.get("started")), bool(reported.get("ready"))
    return known


def _reported(name: str, status: Object) -> Object:
    parts = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
    every: Iterable[Object] = (entry for part in parts for entry in status.get(part) or ())
    return next((entry for entry in every if entry["name"] == name), {})


def runs_of_status(reported: Mapping[str, Any], now: float) -> list[Run]:
    """The runs that a container status tells of; one that was running is lost if nobody else knows it."""
    attempt = int(reported.get("restartCount") or 0)
    state, last = reported.get("state") or {}, (reported.get("lastState") or {}).get("terminated")
    common = {"image": reported.get("image", ""), "image_id": reported.get("imageID", ""), "stale": True}
    runs = []
    current = state.get("terminated")
    if current is None and state.get("running"):
        id_ = str(reported.get("containerID", "")).rpartition("/")[2]
        began = Run(id_, attempt, "running", started_at=_time(state["running"].get("startedAt")), **common)
        runs.append(_lost(began, now))
    # A container that waits shows its last run as lastState, with that run's own count.
    if last and not (state.get("waiting") and not current):
        if attempt > 0:
            runs.append(_ended(last, attempt - 1, common))
    elif last:
        runs.append(_ended(last, attempt, common))
    if current is not None:
        runs.append(_ended(current, attempt, common))
    return runs


def _ended(terminated: Mapping[str, Any], attempt: int, common: Mapping[str, Any]) -> Run:
    return Run(
        id=str(terminated.get("containerID", "")).rpartition("/")[2],
        attempt=attempt,
        state="exited",
        started_at=_time(terminated.get("startedAt")),
        finished_at=_time(terminated.get("finishedAt")),
        exit_code=int(terminated.get("exitCode") or 0),
        reason=terminated.get("reason") or "",
        message=terminated.get("message") or "",
        **common,
    )


def _lost(run: Run, now: float) -> Run:
    return replace(
        run, state="exited", finished_at=now, exit_code=LOST_EXIT_CODE, reason=UNKNOWN_REASON, message=LOST_MESSAGE
    )


def _time(text: str | None) -> float:
    return parse_timestamp(text) if text else 0.0
