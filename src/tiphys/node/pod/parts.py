"""What a pod worker works with: the doors and the node's own parts, handed over once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tiphys.aio.clock import Clock
from tiphys.client.events import Recorder
from tiphys.network.door import Network
from tiphys.node.devices.devices import Devices
from tiphys.node.images import Images
from tiphys.node.logs import Logs
from tiphys.node.machine import Machine
from tiphys.node.objects import Objects
from tiphys.node.pod import spec
from tiphys.node.pod.state import PodState
from tiphys.node.probes.checks import Subject
from tiphys.node.settings import NodeSettings
from tiphys.node.statuses import Statuses
from tiphys.node.volumes.volumes import Volumes
from tiphys.runtime.door import Runtime

Object = dict[str, Any]
Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]


@dataclass(frozen=True, slots=True)
class Parts:
    """
    `services` gives every Service that pods may be told of in their environment; `withdrawn` returns when no new
    connection is led to the pod with that uid; `guarded` when a pod's new address is judged by its network policies;
    `released` is told before that address is given back, `resized` of a pod whose resize is in force.
    """

    settings: NodeSettings
    runtime: Runtime
    network: Network
    recorder: Recorder
    statuses: Statuses
    objects: Objects
    images: Images
    devices: Devices
    volumes: Volumes
    logs: Logs
    machine: Machine
    withdrawn: Callable[[str], Awaitable[None]]
    guarded: Callable[[Object, str], Awaitable[None]]
    released: Callable[[str], None]
    resized: Callable[[str], None]
    services: Callable[[], Iterable[Object]]
    now: Clock


@dataclass(frozen=True, slots=True)
class Work:
    """One pod and the parts to work on it with: what every operation gets. `spawn` starts a task of its worker."""

    state: PodState
    parts: Parts
    spawn: Spawn

    @property
    def pod(self) -> Object:
        return self.state.pod

    @property
    def uid(self) -> str:
        return str(self.state.pod["metadata"]["uid"])

    def normal(self, reason: str, message: str, container: str = "") -> None:
        """An event about the pod, or about one of its containers."""
        self.parts.recorder.normal(self.pod, reason, message, field_path=self._path(container))

    def warning(self, reason: str, message: str, container: str = "") -> None:
        self.parts.recorder.warning(self.pod, reason, message, field_path=self._path(container))

    def _path(self, container: str) -> str:
        return spec.field_path(self.pod, container) if container else ""

    def subject(self, container: Mapping[str, Any], run_id: str) -> Subject:
        """What probes and hooks of a run look at."""
        return Subject(self.parts.runtime, container, run_id, self.state.address)
