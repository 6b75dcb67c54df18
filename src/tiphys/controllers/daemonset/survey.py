"""A DaemonSet's nodes with the pods on them, as the decisions about it see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.api.objects import is_deleting, labels_of
from tiphys.api.pods import is_available
from tiphys.controllers.daemonset.nodes import Suits
from tiphys.reconcile.history import POD_REVISION
from tiphys.reconcile.shares import resolve

Object = dict[str, Any]

PHASE_RANK = {"Pending": 0, "Unknown": 1, "Running": 2}


@dataclass(frozen=True, slots=True)
class Place:
    """A node, what it may run, and the set's pods on it or for it."""

    node: str
    suits: Suits
    pods: Sequence[Object]


@dataclass(frozen=True, slots=True)
class Survey:
    """`lost` are pods for nodes that are not there; `revision` is the hash of the present template."""

    daemonset: Object
    places: Sequence[Place]
    lost: Sequence[Object]
    revision: str
    now: float

    @property
    def min_ready_seconds(self) -> int:
        return int(self.daemonset["spec"].get("minReadySeconds") or 0)

    @property
    def desired(self) -> int:
        """Nodes that should have a pod."""
        return sum(place.suits.begins for place in self.places)

    def is_new(self, pod: Object) -> bool:
        return labels_of(pod).get(POD_REVISION) == self.revision

    def is_available(self, pod: Object) -> bool:
        return is_available(pod, self.min_ready_seconds, self.now)

    def limits(self) -> tuple[int, int]:
        """(maxSurge, maxUnavailable) in pods. Both zero would stand still for ever: one may then be away."""
        rolling = (self.daemonset["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
        surge = resolve(rolling.get("maxSurge") or 0, self.desired, up=True)
        unavailable = resolve(rolling.get("maxUnavailable", 1), self.desired, up=True)
        return (surge, unavailable) if surge or unavailable else (0, 1)


def by_age(pod: Object) -> tuple[str, int, str]:
    """Oldest first; of two of one second the one that got further."""
    meta = pod["metadata"]
    phase = PHASE_RANK.get((pod.get("status") or {}).get("phase", "Pending"), 0)
    return meta.get("creationTimestamp", ""), -phase, meta["name"]


def staying(pods: Sequence[Object]) -> list[Object]:
    """Those that nobody has asked to go, oldest first."""
    return sorted((pod for pod in pods if not is_deleting(pod)), key=by_age)
