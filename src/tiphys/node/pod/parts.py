"""What a pod worker works with: the doors and the node's own parts, handed over once."""

from __future__ import annotations

from dataclasses import dataclass

from tiphys.aio.clock import Clock
from tiphys.client.events import Recorder
from tiphys.network.door import Network
from tiphys.node.images import Images
from tiphys.node.logs import Logs
from tiphys.node.objects import Objects
from tiphys.node.pod.state import PodState
from tiphys.node.settings import NodeSettings
from tiphys.node.statuses import Statuses
from tiphys.node.volumes.volumes import Volumes
from tiphys.runtime.door import Runtime


@dataclass(frozen=True, slots=True)
class Parts:
    settings: NodeSettings
    runtime: Runtime
    network: Network
    recorder: Recorder
    statuses: Statuses
    objects: Objects
    images: Images
    volumes: Volumes
    logs: Logs
    now: Clock


@dataclass(frozen=True, slots=True)
class Work:
    """One pod and the parts to work on it with: what every operation gets."""

    state: PodState
    parts: Parts

    @property
    def uid(self) -> str:
        return str(self.state.pod["metadata"]["uid"])
