"""What a plan asks for: frozen commands, carried out by the worker."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CreateSandbox:
    """Take a network lease and make the namespaces and the cgroup."""


@dataclass(frozen=True, slots=True)
class PrepareVolumes:
    """Write and mount everything that containers mount."""


@dataclass(frozen=True, slots=True)
class FetchImage:
    """Find or pull the image of a container that is about to start."""

    container: str


@dataclass(frozen=True, slots=True)
class Start:
    container: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Stop:
    """
    End a run within `grace_seconds`; `message` is the text of its Killing event. `abrupt`: neither hook nor grace.
    """

    container: str
    id: str
    grace_seconds: float
    message: str
    abrupt: bool = False


@dataclass(frozen=True, slots=True)
class ApplyResize:
    """Bring the limits of the pod and its running containers to what it was given."""


@dataclass(frozen=True, slots=True)
class BeginAnew:
    """Nothing runs: the pod starts again from its first init container, in the sandbox and with the volumes it has."""


@dataclass(frozen=True, slots=True)
class EndPod:
    """The pod has failed as a whole."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class TearDown:
    """Everything has ended: give back network and volumes, and all of it once the pod is deleted."""


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Nothing to do before that moment (unless an event comes)."""

    at: float


Command = (
    CreateSandbox | PrepareVolumes | FetchImage | Start | Stop | ApplyResize | BeginAnew | EndPod | TearDown | WakeAt
)
