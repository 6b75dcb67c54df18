"""
The pods of this node for those who look at them from outside: the HTTPS server's view (`server/doors.py`).

Failures are StatusError with the kubelet's texts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tiphys.api.errors import bad_request, failure, not_found
from tiphys.api.objects import uid_of
from tiphys.node import log_files, translate
from tiphys.node.log_lines import LogOptions
from tiphys.node.pod import spec
from tiphys.node.pod.facts import Run
from tiphys.node.pod.parts import Parts
from tiphys.node.pod.state import PodState
from tiphys.node.pod.worker import PodWorker
from tiphys.node.server.doors import PodPlaces, PodUsage, RunUsage, VolumePlace

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """A container of a pod, and its latest run. `run_id` is "" when it has not begun; `attempt` is -1 then."""

    pod: Object
    container: str
    run_id: str
    attempt: int
    running: bool
    ended: asyncio.Event


class Here:
    """Reads the workers' states; changes nothing."""

    def __init__(self, workers: Callable[[], Sequence[PodWorker]], parts: Parts) -> None:
        self._workers = workers
        self._parts = parts

    def pods(self) -> Sequence[Object]:
        """Every pod that is bound here, with its status as this node sees it."""
        return [_shown(worker.state) for worker in self._workers()]

    def find(self, namespace: str, pod: str, container: str = "") -> Found:
        """The latest run of a container; "" is the pod's first one."""
        state = self._state(namespace, pod)
        name = container or spec.main_containers(state.pod)[0]["name"]
        if spec.container_of(state.pod, name) is None:
            raise bad_request(f"container {name} is not valid for pod {pod}")
        known = state.container(name)
        run = known.runs[-1] if known.runs else None
        if run is None:
            return Found(state.pod, name, "", -1, False, known.ended)
        return Found(state.pod, name, run.id, run.attempt, run.state == "running" and not run.stale, known.ended)

    def running(self, namespace: str, pod: str, container: str) -> str:
        """The runtime's id of the run that is running now."""
        found = self.find(namespace, pod, container)
        if not found.running:
            raise failure(404, "NotFound", f'container not found ("{found.container}")')
        return found.run_id

    def network(self, namespace: str, pod: str) -> Path | None:
        """The pinned network namespace of a pod; None for the host's."""
        state = self._state(namespace, pod)
        if state.pod["spec"].get("hostNetwork"):
            return None
        if state.lease is None:
            raise failure(404, "NotFound", f"pod {pod} has no network: it has not started or has ended")
        return Path(state.lease.path)

    async def logs(self, namespace: str, pod: str, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        """The log, once it is sure that there is one; the iterator is to be closed."""
        found = self.find(namespace, pod, container)
        attempt = self._attempt(found, previous=options.previous)
        path = self._parts.logs.path(found.pod, found.container, attempt)
        if not path.exists():
            raise failure(404, "NotFound", f'the log of container "{found.container}" in pod "{pod}" is gone')
        ended = found.ended
        if options.previous or not found.running:
            ended = asyncio.Event()
            ended.set()
        return log_files.read(path, options, ended)

    def _attempt(self, found: Found, *, previous: bool) -> int:
        """Which run's log is meant. Of containers that are gone the files still tell."""
        on_disk = log_files.attempts_on_disk(self._parts.logs.root, found.pod, found.container)
        latest = max([found.attempt, *on_disk])
        name = found.pod["metadata"]["name"]
        if previous:
            if latest < 1:
                raise bad_request(f'previous terminated container "{found.container}" in pod "{name}" not found')
            return latest - 1
        if latest < 0:
            waits = f'container "{found.container}" in pod "{name}" is waiting to start: {self._reason(found)}'
            raise bad_request(waits)
        return latest

    def _reason(self, found: Found) -> str:
        state = self._state(found.pod["metadata"]["namespace"], found.pod["metadata"]["name"])
        waiting = state.container(found.container).waiting
        if waiting is not None:
            return waiting.reason
        return "PodInitializing" if spec.init_containers(state.pod) else "ContainerCreating"

    async def usages(self, *, brief: bool = False) -> Sequence[PodUsage]:
        """What each running pod uses, read in one go."""
        states = {translate.sandbox_id(worker.state.pod): worker.state for worker in self._workers()}
        runs = {name: _running(state) for name, state in states.items()}
        ids = [run.id for of_pod in runs.values() for run in of_pod.values()]
        used = await self._parts.runtime.usages([*states], ids, brief=brief)
        return [
            PodUsage(
                _shown(state),
                name,
                used[name],
                {c: RunUsage(run.id, run.started_at, used[run.id]) for c, run in runs[name].items() if run.id in used},
            )
            for name, state in states.items()
            if name in used  # it has ended meanwhile, or has not begun: it uses nothing
        ]

    async def places(self) -> Mapping[str, PodPlaces]:
        """Where each pod takes space, by uid."""
        pids = {one.id: one.pid for one in await self._parts.runtime.containers() if one.state == "running"}
        return {uid_of(worker.state.pod): await self._places(worker.state, pids) for worker in self._workers()}

    async def _places(self, state: PodState, pids: Mapping[str, int]) -> PodPlaces:
        running, told = _running(state), await self._parts.volumes.measured(uid_of(state.pod))
        logs = self._parts.logs
        shared = state.pod["spec"].get("hostNetwork")
        return PodPlaces(
            layers={name: str(self._parts.runtime.layer(run.id)) for name, run in running.items()},
            logs={name: str(logs.path(state.pod, name, run.attempt).parent) for name, run in running.items()},
            volumes=[replace(volume, measured=told.get(volume.path)) for volume in _measurable(state)],
            pid=0 if shared else next((pids[run.id] for run in running.values() if run.id in pids), 0),
        )

    def _state(self, namespace: str, pod: str) -> PodState:
        """The newest pod of that name: an older one may still be on its way out."""
        named = [w.state for w in self._workers() if _key(w.state.pod) == (namespace, pod)]
        if not named:
            raise not_found("pods", "", pod)
        return named[-1]


def _shown(state: PodState) -> Object:
    return {**state.pod, "status": state.status or state.pod.get("status") or {}}


def _running(state: PodState) -> dict[str, Run]:
    """The run of each container that runs."""
    latest = {name: known.runs[-1] for name, known in state.containers.items() if known.runs}
    return {name: run for name, run in latest.items() if run.state == "running" and not run.stale}


def _measurable(state: PodState) -> Iterator[VolumePlace]:
    """The volumes whose size is the pod's concern: none of the host's directories, no image, and no bare disk."""
    meta = state.pod["metadata"]
    disks = {use["name"] for one in spec.all_containers(state.pod) for use in one.get("volumeDevices") or ()}
    for volume in state.pod["spec"].get("volumes") or ():
        name, path = volume["name"], state.mounts.get(volume["name"])
        if path is None or "hostPath" in volume or "image" in volume or name in disks:
            continue
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName", "")
        if "ephemeral" in volume:
            claim = f"{meta['name']}-{name}"
        in_memory = (volume.get("emptyDir") or {}).get("medium") == "Memory" or "emptyDir" not in volume
        yield VolumePlace(name, path, meta["namespace"], claim, in_memory and not claim)


def _key(pod: Mapping[str, Any]) -> tuple[str, str]:
    return pod["metadata"]["namespace"], pod["metadata"]["name"]
