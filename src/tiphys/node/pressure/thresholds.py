"""
When the machine is short of something, decided purely: observations and thresholds in, a judgement out.

The words are the kubelet's: signals, hard thresholds (act at once) and soft ones (act when they were met for a grace
period), and a pressure that stays for a while after its cause has gone, so that a condition does not flap.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tiphys.api import quantity
from tiphys.api.errors import StatusError

MEMORY = "memory.available"
NODE_BYTES, NODE_INODES = "nodefs.available", "nodefs.inodesFree"
IMAGE_BYTES, IMAGE_INODES = "imagefs.available", "imagefs.inodesFree"
PIDS = "pid.available"

# Signal → (the node's pressure, the resource as an eviction names it). Who acts first comes first.
SIGNALS = {
    MEMORY: ("memory", "memory"),
    NODE_BYTES: ("disk", "ephemeral-storage"),
    NODE_INODES: ("disk", "inodes"),
    IMAGE_BYTES: ("disk", "ephemeral-storage"),
    IMAGE_INODES: ("disk", "inodes"),
    PIDS: ("pids", "pids"),
}
DEFAULT_HARD = (
    "memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%,imagefs.available<10%,imagefs.inodesFree<5%,"
    "pid.available<2%"
)
HOLD_SECONDS = 30.0

_RULE = re.compile(r"([a-zA-Z.]+)<(.+)")


@dataclass(frozen=True, slots=True)
class Observation:
    """How much of a signal is left, of how much."""

    available: int
    capacity: int


@dataclass(frozen=True, slots=True)
class Threshold:
    """Met while less than `quantity` (or that share of the capacity) is left. `text` is the amount as written."""

    signal: str
    text: str
    quantity: int = 0
    share: float = 0.0
    grace_seconds: float = 0.0

    def amount(self, capacity: int) -> int:
        return int(capacity * self.share) if self.share else self.quantity

    def is_met(self, seen: Observation) -> bool:
        return seen.available < self.amount(seen.capacity)


@dataclass(frozen=True, slots=True)
class Judgement:
    """
    `acting`: thresholds that ask for something to be given up now. `pressures` is what the node says of itself;
    `since` and `held_until` are memory for the next judgement.
    """

    acting: tuple[Threshold, ...] = ()
    pressures: frozenset[str] = frozenset()
    since: Mapping[Threshold, float] = field(default_factory=dict)
    held_until: Mapping[str, float] = field(default_factory=dict)


def parse(hard: str, soft: str = "", grace: str = "") -> tuple[Threshold, ...]:
    """
    `memory.available<100Mi,nodefs.available<10%`, as the kubelet's --eviction-hard and --eviction-soft; `grace` gives
    each soft signal its seconds (`memory.available=90s`). ValueError with what is wrong.
    """
    graces = {}
    for word in filter(None, grace.split(",")):
        signal, _, seconds = word.partition("=")
        if not re.fullmatch(r"[0-9]+s?", seconds):
            raise ValueError(f'"{word}" is no grace period: write it like {MEMORY}=90s')
        graces[signal.strip()] = float(seconds.removesuffix("s"))
    found = [_threshold(rule, 0.0) for rule in filter(None, hard.split(","))]
    for rule in filter(None, soft.split(",")):
        signal = rule.partition("<")[0].strip()
        if signal not in graces:
            raise ValueError(f'the soft threshold "{rule}" needs a grace period ({signal}=90s)')
        found.append(_threshold(rule, graces[signal]))
    order = list(SIGNALS)
    return tuple(sorted(found, key=lambda one: order.index(one.signal)))


def _threshold(rule: str, grace_seconds: float) -> Threshold:
    match = _RULE.fullmatch(rule.strip())
    if match is None or match[1] not in SIGNALS:
        raise ValueError(f'"{rule}" is no threshold: write it like {MEMORY}<100Mi; signals are {", ".join(SIGNALS)}')
    signal, text = match[1], match[2].strip()
    if text.endswith("%"):
        if not re.fullmatch(r"[0-9]+(\.[0-9]+)?%", text) or not 0 < float(text[:-1]) < 100:
            raise ValueError(f'"{rule}": a share is between 0% and 100%')
        return Threshold(signal, text, share=float(text[:-1]) / 100, grace_seconds=grace_seconds)
    try:
        return Threshold(signal, text, quantity=quantity.value(text), grace_seconds=grace_seconds)
    except (ValueError, StatusError) as error:
        raise ValueError(f'"{rule}": {text} is no quantity') from error


def reserved(thresholds: Iterable[Threshold], signal: str, capacity: int) -> int:
    """What hard thresholds keep from pods: it is not allocatable."""
    return max((t.amount(capacity) for t in thresholds if t.signal == signal and not t.grace_seconds), default=0)


def judge(thresholds: Iterable[Threshold], seen: Mapping[str, Observation], before: Judgement, now: float) -> Judgement:
    """A signal that could not be observed judges nothing."""
    met = [t for t in thresholds if t.signal in seen and t.is_met(seen[t.signal])]
    since = {threshold: before.since.get(threshold, now) for threshold in met}
    held = {word: until for word, until in before.held_until.items() if now < until}
    held |= {SIGNALS[threshold.signal][0]: now + HOLD_SECONDS for threshold in met}
    acting = tuple(threshold for threshold in met if now - since[threshold] >= threshold.grace_seconds)
    return Judgement(acting, frozenset(held), since, held)
