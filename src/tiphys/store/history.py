"""Pure arithmetic on events: what a prefix looked like at an earlier revision."""

from __future__ import annotations

from collections.abc import Iterable

from tiphys.store.door import Entry, Event


def rewind(entries: Iterable[Entry], newer: Iterable[Event]) -> list[Entry]:
    """
    Undo `newer` (events after the wanted revision, newest first) on today's `entries`; the answer is in key order.

    The history holds only what changed, so an old list costs today's list plus the changes since then.
    """
    state = {entry.key: entry for entry in entries}
    for event in newer:
        if event.previous is None:
            state.pop(event.key, None)
        else:
            state[event.key] = event.previous
    return [state[key] for key in sorted(state)]


def prefix_end(prefix: str) -> str:
    """The smallest string greater than every string that starts with `prefix`."""
    return prefix + "\U0010ffff"
