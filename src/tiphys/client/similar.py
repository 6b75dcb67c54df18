"""
What keeps events from flooding: similar ones become one, and one object has a budget.

The rules are those of Kubernetes' recorders, so that users see what they know. From the tenth different message of one
reason within ten minutes on, all further ones are one event, which shows the newest message and counts. One object may
give a burst of 25 events, then one in five minutes; what is beyond is counted and not sent. Both are bounded memories.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MESSAGES_MAX = 10
WINDOW_SECONDS = 600.0
BURST = 25
SECONDS_PER_EVENT = 300.0
REMEMBERED_MAX = 2_000
PREFIX = "(combined from similar events): "

Key = tuple[str, ...]


def subject_key(subject: Mapping[str, Any]) -> Key:
    """Which object an event is about, whatever its version."""
    return tuple(str(subject.get(part, "")) for part in ("kind", "namespace", "name", "uid", "apiVersion"))


@dataclass(slots=True)
class _Group:
    messages: set[str] = field(default_factory=set)
    last_at: float = 0.0


class Similar:
    """Groups of events that differ in their message only."""

    def __init__(self) -> None:
        self._groups: OrderedDict[Key, _Group] = OrderedDict()

    def message_and_key(self, group_key: Key, message: str, at: float) -> tuple[str, Key]:
        """The message to show, and the key that equal events share."""
        group = self._groups.pop(group_key, None)
        if group is None or at - group.last_at > WINDOW_SECONDS:
            group = _Group()
        _keep(self._groups, group_key, group)
        group.last_at = at
        if message not in group.messages and len(group.messages) >= MESSAGES_MAX - 1:
            return PREFIX + message, group_key
        group.messages.add(message)
        return message, (*group_key, message)


class Budget:
    """How many events an object may still give."""

    def __init__(self) -> None:
        self._left: OrderedDict[Key, tuple[float, float]] = OrderedDict()

    def allows(self, subject: Key, at: float) -> bool:
        """Whether one more may be sent now; it is then taken off."""
        tokens, since = self._left.pop(subject, (float(BURST), at))
        tokens = min(tokens + max(at - since, 0.0) / SECONDS_PER_EVENT, float(BURST))
        allowed = tokens >= 1.0
        _keep(self._left, subject, (tokens - 1.0 if allowed else tokens, at))
        return allowed


def _keep(memory: OrderedDict[Key, Any], key: Key, value: Any) -> None:
    """As the newest; the one that was not asked for longest makes room."""
    memory[key] = value
    if len(memory) > REMEMBERED_MAX:
        memory.popitem(last=False)
