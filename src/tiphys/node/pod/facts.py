"""
What is known of a pod on this node: the frozen facts that the plan and the status are made from.

A container *runs* several times; each run has an attempt number (the restart count) and its own id. The facts hold
the last runs, oldest first. Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tiphys.node.backoff import Entry


@dataclass(frozen=True, slots=True)
class Run:
    """
    One run of a container. `state` is created, running or exited. `reason` and `message` are set when they are not to
    be derived from the exit code. `stale` runs belong to a sandbox that is gone (a reboot): they count as history.
    `void` ones are from before all containers began anew: they count for nothing.
    """

    id: str
    attempt: int
    state: str
    hash: str = ""
    image: str = ""
    image_id: str = ""
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0
    signal: int = 0
    oom_killed: bool = False
    reason: str = ""
    message: str = ""
    stale: bool = False
    void: bool = False
    user: tuple[int, int, tuple[int, ...]] | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a container does not run: a reason of one word and a sentence."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    """
    `busy` while an operation on it is under way; `unhealthy` is the text with which it must be stopped (a failed
    liveness or startup probe); `kill_grace` overrides the pod's grace then. `attempts` is how many runs were begun.
    """

    runs: tuple[Run, ...] = ()
    attempts: int = 0
    busy: bool = False
    image_ready: bool = False
    waiting: Waiting | None = None
    retry_at: float = 0.0
    started: bool = False
    ready: bool = False
    unhealthy: str = ""
    kill_grace: int | None = None
    backoff: Entry | None = None

    @property
    def latest(self) -> Run | None:
        return self.runs[-1] if self.runs else None

    @property
    def is_running(self) -> bool:
        return bool(self.runs) and self.runs[-1].state == "running" and not self.runs[-1].stale

    @property
    def current(self) -> Run | None:
        """The latest run, if it counts and belongs to the sandbox that is."""
        return self.runs[-1] if self.runs and not (self.runs[-1].stale or self.runs[-1].void) else None


@dataclass(frozen=True, slots=True)
class Ending:
    """
    Why everything stops, and when grace is over. `reason` (with `message`) makes the pod Failed: DeadlineExceeded,
    Evicted. `gone`: the object has left the API, nothing is reported any more.
    """

    deadline: float
    reason: str = ""
    message: str = ""
    deleting: bool = False
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """The state of one part of the set-up: done, under way, or to be tried again at `retry_at` after `failures`."""

    done: bool = False
    busy: bool = False
    retry_at: float = 0.0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Resize:
    """
    A resize that was granted, until it is in force. `step` is done once all limits that can be changed under a running
    container are; those that need a restart follow. `before` is the allocation that held, `generation` of which object
    the resize is, `error` why it failed the last time.
    """

    before: Mapping[str, Any]
    generation: int = 0
    step: Step = Step()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """A resize that is not granted: Deferred or Infeasible, why, and of which generation of the object it is."""

    reason: str
    message: str
    generation: int = 0


@dataclass(frozen=True, slots=True)
class PodFacts:
    """Everything the plan may look at beside the pod object itself, which holds the resources that it was given."""

    sandbox: Step = Step()
    volumes: Step = Step()
    containers: Mapping[str, ContainerFacts] = field(default_factory=dict)
    address: str = ""
    started_at: float = 0.0
    initialized: bool = False  # its regular containers have started once in this sandbox
    ending: Ending | None = None
    resize: Resize | None = None
    held: Held | None = None
    refused: Waiting | None = None  # the node did not admit it
    torn_down: bool = False
    tearing_down: bool = False

    def container(self, name: str) -> ContainerFacts:
        return self.containers.get(name, NOTHING_KNOWN)

    @property
    def anything_running(self) -> bool:
        return any(facts.is_running or facts.busy for facts in self.containers.values())


NOTHING_KNOWN = ContainerFacts()
