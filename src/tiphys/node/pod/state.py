"""
The worker's own, changing picture of one pod; `facts()` freezes it for the plan and the status.

Only the pod's worker and the operations that it started write here, all on one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tiphys.network.door import Lease
from tiphys.node.backoff import Entry
from tiphys.node.pod import spec
from tiphys.node.pod.facts import ContainerFacts, Ending, Held, PodFacts, Resize, Run, Step, Waiting
from tiphys.runtime.door import Image

Object = dict[str, Any]

# The kubelet reports the last two runs; nobody can see more.
RUNS_KEPT = 2


@dataclass(slots=True)
class ContainerState:
    """
    `operation` names what is under way: fetch, start, hook, stop, or "" for nothing. `ended` is set once the latest
    run is over: log followers wait for it.
    """

    runs: list[Run] = field(default_factory=list)
    attempts: int = 0
    operation: str = ""
    image: Image | None = None
    waiting: Waiting | None = None
    retry_at: float = 0.0
    started: bool = False
    ready: bool = False
    unhealthy: str = ""
    kill_grace: int | None = None
    backoff: Entry | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self, run: Run) -> None:
        """A new run; what was said of the one before no longer holds."""
        self.add(run)
        self.ended = asyncio.Event()
        self.waiting, self.retry_at = None, 0.0
        self.started = self.ready = False
        self.unhealthy, self.kill_grace = "", None

    def wait_for(self, reason: str, message: str, retry_at: float) -> None:
        """It cannot go on before `retry_at`, and the user is told why."""
        self.waiting, self.retry_at = Waiting(reason, message), retry_at

    def add(self, run: Run) -> None:
        self.runs = [*self.runs, run][-RUNS_KEPT:]
        self.attempts = max(self.attempts, run.attempt + 1)

    def update(self, run_id: str, **changes: Any) -> Run | None:
        """Replace the run of that id by one with `changes`; None when it is no longer known."""
        for index, run in enumerate(self.runs):
            if run.id == run_id:
                self.runs[index] = replace(run, **changes)
                return self.runs[index]
        return None

    def facts(self) -> ContainerFacts:
        return ContainerFacts(
            runs=tuple(self.runs),
            attempts=self.attempts,
            busy=bool(self.operation),
            image_ready=self.image is not None,
            waiting=self.waiting,
            retry_at=self.retry_at,
            started=self.started,
            ready=self.ready,
            unhealthy=self.unhealthy,
            kill_grace=self.kill_grace,
            backoff=self.backoff,
        )


@dataclass(slots=True)
class PodState:
    """
    `mounts` is where each volume lies on the host, once they are prepared; they are due again at `volumes_due_at` (0.0:
    never) or when something they show is new (`volumes_stale`). `leftover_sandbox`: one of an earlier boot is to be
    removed before the next is made. `over`: nothing is left to do, the worker may go.

    `pod` holds the resources that it was given; `desired` is the object while it asks for others.
    """

    pod: Object
    desired: Object | None = None
    containers: dict[str, ContainerState] = field(default_factory=dict)
    sandbox: Step = field(default_factory=Step)
    volumes: Step = field(default_factory=Step)
    lease: Lease | None = None
    address: str = ""
    mounts: Mapping[str, str] = field(default_factory=dict)
    volumes_due_at: float = 0.0
    volumes_stale: bool = False
    leftover_sandbox: bool = False
    started_at: float = 0.0
    initialized: bool = False
    ending: Ending | None = None
    resize: Resize | None = None
    held: Held | None = None
    admitted: bool = True
    refused: Waiting | None = None
    torn_down: bool = False
    tearing_down: bool = False
    over: bool = False
    status: Object = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def container(self, name: str) -> ContainerState:
        return self.containers.setdefault(name, ContainerState())

    def wake(self) -> None:
        """Something is new: plan again."""
        self.changed.set()

    def note_progress(self) -> None:
        """Once a main container has begun in this sandbox, the init containers are behind us."""
        if not self.initialized:
            mains = (self.container(c["name"]) for c in spec.main_containers(self.pod))
            self.initialized = any(
                run.state != "created" and not (run.stale or run.void) for c in mains for run in c.runs
            )

    def begin_anew(self) -> None:
        """What has run so far counts for nothing."""
        for container in spec.all_containers(self.pod):
            known = self.container(container["name"])
            known.runs = [replace(run, void=True) for run in known.runs]
            known.waiting, known.retry_at = None, 0.0
        self.initialized = False
        self.wake()

    def facts(self) -> PodFacts:
        self.note_progress()
        return PodFacts(
            sandbox=self.sandbox,
            volumes=self.volumes,
            containers={name: container.facts() for name, container in self.containers.items()},
            address=self.address,
            started_at=self.started_at,
            initialized=self.initialized,
            ending=self.ending,
            resize=self.resize,
            held=self.held,
            refused=self.refused,
            torn_down=self.torn_down,
            tearing_down=self.tearing_down,
        )
