"""What one check found, and how many of them make a verdict. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OUTPUT_BYTES_MAX = 10 * 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """`output` is what the Unhealthy event says; a `warning` passes and is told all the same."""

    passed: bool
    output: str = ""
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Timing:
    """The numbers of a probe with Kubernetes' defaults."""

    initial_delay_seconds: float = 0.0
    period_seconds: float = 10.0
    timeout_seconds: float = 1.0
    success_threshold: int = 1
    failure_threshold: int = 3


def timing_of(probe: Mapping[str, Any]) -> Timing:
    return Timing(
        float(probe.get("initialDelaySeconds") or 0),
        float(probe.get("periodSeconds") or 10),
        float(probe.get("timeoutSeconds") or 1),
        int(probe.get("successThreshold") or 1),
        int(probe.get("failureThreshold") or 3),
    )


@dataclass(slots=True)
class Tally:
    """Counts equal outcomes in a row."""

    timing: Timing
    last: bool | None = None
    count: int = 0

    def add(self, *, passed: bool) -> bool | None:
        """The verdict that this outcome completes or confirms; None while there are too few in a row."""
        self.count = self.count + 1 if passed == self.last else 1
        self.last = passed
        needed = self.timing.success_threshold if passed else self.timing.failure_threshold
        return passed if self.count >= needed else None
