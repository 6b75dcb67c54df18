"""
Decide a group of writes together: pure, so that it can be tested without a database.

Writes that wait at the same moment are committed in one transaction. Each is decided against the state that the ones
before it in the group leave behind, exactly as if they had come one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tiphys.store.door import Conflict, Entry, Event, KeyExists, StoreError


@dataclass(frozen=True, slots=True)
class Write:
    """One wish: `value` None deletes; `expected` None creates, otherwise the revision that must be current."""

    key: str
    value: bytes | None
    expected: int | None


@dataclass(frozen=True, slots=True)
class Decision:
    """`outcomes[i]` answers write i: its new revision or its error."""

    outcomes: Sequence[int | StoreError]
    events: Sequence[Event]


def decide(writes: Sequence[Write], current: Mapping[str, Entry], revision: int) -> Decision:
    """`current` holds the entries of all keys that `writes` name; `revision` is the newest one so far."""
    state: dict[str, Entry | None] = {}
    outcomes: list[int | StoreError] = []
    events: list[Event] = []
    for write in writes:
        held = state[write.key] if write.key in state else current.get(write.key)
        refusal = _refusal(write, held)
        if refusal is not None:
            outcomes.append(refusal)
            continue
        revision += 1
        state[write.key] = None if write.value is None else Entry(write.key, write.value, revision)
        events.append(Event(write.key, revision, write.value, held))
        outcomes.append(revision)
    return Decision(outcomes, events)


def _refusal(write: Write, held: Entry | None) -> StoreError | None:
    if write.expected is None:
        return KeyExists(write.key) if held is not None else None
    if held is None or held.revision != write.expected:
        return Conflict(f"{write.key} is not at revision {write.expected}", held)
    return None
