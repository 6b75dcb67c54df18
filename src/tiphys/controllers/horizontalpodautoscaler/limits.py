"""
From the replicas that are needed to those that are set: no flapping, no leaps, and within what the user allows. Pure.

Stabilization looks back: a count goes down only to the highest that was needed within a window (five minutes unless
said otherwise), and up only to the lowest. Policies limit how much may change within a period, counting what has
changed already.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Object = Mapping[str, Any]
# (Unix seconds, replicas or change)
Note = tuple[float, int]

DOWN_WINDOW_SECONDS = 300
KEPT_SECONDS_MAX = 3600.0
# Without behaviour the count at most doubles (or becomes four) in the time between two looks of Kubernetes.
UP_FACTOR, UP_LEAST, UP_PERIOD_SECONDS = 2, 4, 15

WITHIN = ("DesiredWithinRange", "the desired count is within the acceptable range")
TOO_MANY = ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
TOO_FEW = ("TooFewReplicas", "the desired replica count is less than the minimum replica count")
TOO_FAST_UP = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
TOO_FAST_DOWN = ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate")
READY = ("ReadyForNewScale", "recommended size matches current size")
HELD_DOWN = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
)
HELD_UP = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
)
Words = tuple[str, str]


@dataclass(frozen=True, slots=True)
class History:
    """What was recommended, and by how much the count was changed up and down; oldest first."""

    recommendations: tuple[Note, ...] = ()
    ups: tuple[Note, ...] = ()
    downs: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the autoscaler's spec allows. `up` and `down` are its behaviour, {} for none."""

    least: int
    most: int
    up: Object = field(default_factory=dict)
    down: Object = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limited:
    """`able` and `limited` are reason and message of the conditions; `is_limited` says whether the last one is true."""

    replicas: int
    able: Words
    limited: Words
    is_limited: bool


def limit(bounds: Bounds, history: History, current: int, desired: int, now: float) -> Limited:
    """The count that may be set now."""
    stable, held = _stable(bounds, history, current, desired, now)
    allowed, words = _allowed(bounds, history, current, stable, now)
    return Limited(allowed, held if stable != desired else READY, words, allowed != stable)


def recommended(history: History, replicas: int, bounds: Bounds, now: float) -> History:
    """The history with one more, without what nobody looks back at. Of equal ones in a row the last is enough."""
    cutoff = now - max(_window(bounds.up, 0), _window(bounds.down, DOWN_WINDOW_SECONDS))
    kept = [note for note in history.recommendations if note[0] >= cutoff]
    if kept and kept[-1][1] == replicas:
        kept.pop()
    return History((*kept, (now, replicas)), history.ups, history.downs)


def rescaled(history: History, current: int, desired: int, now: float) -> History:
    """The history with a change of the count."""
    cutoff = now - KEPT_SECONDS_MAX
    ups = [note for note in history.ups if note[0] >= cutoff]
    downs = [note for note in history.downs if note[0] >= cutoff]
    (ups if desired > current else downs).append((now, abs(desired - current)))
    return History(history.recommendations, tuple(ups), tuple(downs))


def _window(behavior: Object, default: int) -> int:
    seconds = behavior.get("stabilizationWindowSeconds")
    return default if seconds is None else int(seconds)


def _stable(bounds: Bounds, history: History, current: int, desired: int, now: float) -> tuple[int, Words]:
    up_since = now - _window(bounds.up, 0)
    down_since = now - _window(bounds.down, DOWN_WINDOW_SECONDS)
    lowest = min([desired, *(count for at, count in history.recommendations if at > up_since)])
    highest = max([desired, *(count for at, count in history.recommendations if at > down_since)])
    if not bounds.up and not bounds.down:
        return highest, HELD_UP
    return min(max(current, lowest), highest), HELD_DOWN if desired >= current else HELD_UP


def _allowed(bounds: Bounds, history: History, current: int, desired: int, now: float) -> tuple[int, Words]:
    if not bounds.up and not bounds.down:
        begun_with = _begun_with(history, current, now - UP_PERIOD_SECONDS)
        return _within(bounds, desired, max(UP_FACTOR * begun_with, UP_LEAST, current))
    if desired > current:
        fastest = max(_rate(bounds.up, history, current, now, up=True), current)
        most, words = (bounds.most, TOO_MANY) if bounds.most <= fastest else (fastest, TOO_FAST_UP)
        return (most, words) if desired > most else (desired, WITHIN)
    if desired < current:
        fastest = min(_rate(bounds.down, history, current, now, up=False), current)
        least, words = (bounds.least, TOO_FEW) if bounds.least >= fastest else (fastest, TOO_FAST_DOWN)
        return (least, words) if desired < least else (desired, WITHIN)
    return desired, WITHIN


def _within(bounds: Bounds, desired: int, fastest: int) -> tuple[int, Words]:
    """Without behaviour."""
    most, words = (fastest, TOO_FAST_UP) if bounds.most > fastest else (bounds.most, TOO_MANY)
    if desired < bounds.least:
        return bounds.least, TOO_FEW
    return (most, words) if desired > most else (desired, WITHIN)


def _rate(behavior: Object, history: History, current: int, now: float, *, up: bool) -> int:
    """How far the policies let the count go now."""
    if behavior.get("selectPolicy") == "Disabled":
        return current
    limits = [_policy(policy, history, current, now, up=up) for policy in behavior.get("policies") or ()]
    # Max takes the greatest change, which downwards is the lowest count.
    choose: Callable[[Sequence[int]], int] = max if (behavior.get("selectPolicy") != "Min") == up else min
    return choose(limits) if limits else current


def _policy(policy: Object, history: History, current: int, now: float, *, up: bool) -> int:
    begun_with = _begun_with(history, current, now - policy["periodSeconds"])
    value = int(policy["value"])
    if policy["type"] == "Pods":
        return begun_with + value if up else begun_with - value
    if up:
        return math.ceil(begun_with * (1 + value / 100))
    return int(begun_with * (1 - value / 100))


def _begun_with(history: History, current: int, since: float) -> int:
    """The count at a moment, by what was added and removed after it."""
    added = sum(change for at, change in history.ups if at > since)
    removed = sum(change for at, change in history.downs if at > since)
    return current - added + removed
