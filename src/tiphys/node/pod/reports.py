"""
When a pod's status is sent: at once when it says something that users wait for, gathered otherwise.

A pod that starts in 40 ms is thus told of once (Running and Ready), not five times. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tiphys.node.pod.conditions import DISRUPTION, OWNED, PASSING

# How long a change that nobody waits for may be held back.
GATHER_SECONDS = 0.25

QUIET_REASONS = frozenset({"ContainerCreating", "PodInitializing"})


def is_urgent(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether somebody is likely to wait for what is new."""
    return _headline(before) != _headline(after)


def _headline(status: Mapping[str, Any]) -> tuple[Any, ...]:
    conditions = {c["type"]: c["status"] for c in status.get("conditions") or ()}
    phase = status.get("phase") or "Pending"
    return (phase, status.get("reason"), conditions.get("Ready") == "True", tuple(_containers(status)))


def _containers(status: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for part in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        for container in status.get(part) or ():
            for kind, detail in (container.get("state") or {}).items():
                reason = detail.get("reason", "") if kind != "running" else (container["ready"], container["started"])
                if kind != "waiting" or reason not in QUIET_REASONS:
                    yield (container["name"], kind, reason)


def previous_of(sent: Mapping[str, Any], pod: Mapping[str, Any]) -> dict[str, Any]:
    """What we last sent, with the conditions of others as they are now."""
    ours = [c for c in sent.get("conditions") or () if c["type"] in (*OWNED, *PASSING, DISRUPTION)]
    known = {*OWNED, *PASSING, *(c["type"] for c in ours)}
    others = [c for c in (pod.get("status") or {}).get("conditions") or () if c["type"] not in known]
    return {**sent, "conditions": [*ours, *others]}
