"""What the server asks of the node agent around it, and what it is told once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tiphys.node.log_lines import LogOptions
from tiphys.node.server.readings import FileSystem
from tiphys.runtime.door import Usage

Object = Mapping[str, Any]

# Whether a verified client certificate (DER) may speak to this node. The API server's may, nobody else's.
Trust = Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class RunUsage:
    """What one run of a container uses now; `id` is the runtime's."""

    id: str
    started_at: float
    usage: Usage


@dataclass(frozen=True, slots=True)
class PodUsage:
    """What one pod uses now; `whole` is its sandbox, called `id` by the runtime, with all containers."""

    pod: Object
    id: str
    whole: Usage
    containers: Mapping[str, RunUsage] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VolumePlace:
    """
    A volume of a pod on this machine; `claim` is the claim's name, "" for one that is the pod's own. `measured` is what
    its driver says of it.
    """

    name: str
    path: str
    namespace: str = ""
    claim: str = ""
    in_memory: bool = False
    measured: FileSystem | None = None


@dataclass(frozen=True, slots=True)
class PodPlaces:
    """Where a pod takes space, and a process of it for its network namespace (0: none, or the host's)."""

    layers: Mapping[str, str] = field(default_factory=dict)  # by container
    logs: Mapping[str, str] = field(default_factory=dict)
    volumes: Sequence[VolumePlace] = ()
    pid: int = 0


class PodsHere(Protocol):
    """The pods of this node, as the agent knows them. Failures are StatusError, with a text for the user."""

    def pods(self) -> Sequence[Object]:
        """Every pod that is bound here, with its status as this node sees it."""

    def running(self, namespace: str, pod: str, container: str) -> str:
        """The runtime's id of the run that is running now. NotFound if there is none."""

    def network(self, namespace: str, pod: str) -> Path | None:
        """The pinned network namespace of a pod; None for the host's. NotFound if it has none (any more)."""

    async def logs(self, namespace: str, pod: str, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        """Fails before it gives the iterator, so that a failure can still be answered; the iterator is closed."""

    async def usages(self, *, brief: bool = False) -> Sequence[PodUsage]:
        """What each running pod uses; a brief look gives processor time and memory alone."""

    async def places(self) -> Mapping[str, PodPlaces]:
        """Where each pod takes space, by uid."""


class Arrivals(Protocol):
    """How much comes to a Service: `per_second` over the `window_seconds` before `at` (Unix seconds)."""

    @property
    def per_second(self) -> float: ...

    @property
    def window_seconds(self) -> float: ...

    @property
    def at(self) -> float: ...


class Counting(Protocol):
    """Counts what comes to Services on this node, by kind ("connections" or "requests")."""

    async def arrivals(self, kind: str, services: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Arrivals]:
        """By (namespace, name); a Service that is not counted here is missing."""


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """
    `idle_seconds` without a byte of data end a stream; pings do not count. `streams_seconds` is how long a client may
    take to open the streams it asked for. A process that has ended may leave its output open in a child: after
    `quiet_seconds` without a byte nobody waits for it any more. `ping_seconds` is how often a client is tried:
    one whose input nobody takes is not read, so its end would not be seen.
    """

    idle_seconds: float = 4 * 3600.0
    streams_seconds: float = 30.0
    quiet_seconds: float = 2.0
    linger_seconds: float = 5.0
    kill_seconds: float = 5.0
    ping_seconds: float = 30.0
    connect_seconds: float = 10.0
    sessions_max: int = 500
