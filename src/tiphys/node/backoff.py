"""
Back-off of container restarts and image pulls, as the kubelet counts it: pure, no clock inside.

The first restart is immediate. The next waits 10 s after the exit, then 20 s, and so on up to 300 s. A container that
has run for ten minutes begins anew.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_SECONDS = 10.0
MAX_SECONDS = 300.0
RESET_SECONDS = 2 * MAX_SECONDS


@dataclass(frozen=True, slots=True)
class Entry:
    """The delay that holds, and when it was last made longer."""

    delay_seconds: float
    updated_at: float


def waits_until(entry: Entry | None, event_at: float) -> float:
    """When the next attempt may happen after something ended at `event_at`; 0.0 is now."""
    if entry is None or event_at - entry.updated_at > RESET_SECONDS:
        return 0.0
    return event_at + entry.delay_seconds


def next_entry(entry: Entry | None, event_at: float, now: float) -> Entry:
    """The entry after another attempt was begun."""
    if entry is None or event_at - entry.updated_at > RESET_SECONDS:
        return Entry(FIRST_SECONDS, now)
    return Entry(min(entry.delay_seconds * 2, MAX_SECONDS), now)


def spelled(seconds: float) -> str:
    """A duration as Go prints it: 10s, 1m20s, 5m0s."""
    whole = int(seconds)
    return f"{whole}s" if whole < 60 else f"{whole // 60}m{whole % 60}s"
