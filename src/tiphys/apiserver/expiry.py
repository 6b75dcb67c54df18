"""
Events are kept for an hour after their last write, as in Kubernetes, and then removed.

Writes come in time order, so what is due first is always at the head of one queue: the sleeper wakes for the head only.
An Event written again is queued again; its older place is skipped because the revision no longer fits.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable

from tiphys.api import errors, resources
from tiphys.api.objects import parse_timestamp
from tiphys.apiserver.call import Object
from tiphys.apiserver.parts import Parts
from tiphys.apiserver.records import Record, prefix_of
from tiphys.apiserver.registry import commit
from tiphys.apiserver.watchers import Change

log = logging.getLogger(__name__)

EVENT_SECONDS = 3600.0
RETRY_SECONDS = 30.0
_EVENTS = prefix_of(resources.get("", "v1", "events"))
_TIMES = ("lastTimestamp", "eventTime", "firstTimestamp")


class EventExpiry:
    """`follow` is a listener of the cache; `run` removes what is due."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._due: deque[tuple[float, str, int]] = deque()
        self._arrived = asyncio.Event()

    def load(self, records: Iterable[Record]) -> None:
        """Queue what is stored, oldest first."""
        found = sorted((_written(record.peek()) + EVENT_SECONDS, record.key, record.revision) for record in records)
        self._due.extend(found)
        if found:
            self._arrived.set()

    def follow(self, change: Change) -> None:
        """Queue a written Event."""
        if not change.deleted and change.record.key.startswith(_EVENTS):
            self._due.append((self._parts.now() + EVENT_SECONDS, change.record.key, change.revision))
            self._arrived.set()

    async def run(self) -> None:
        """Remove Events as they become due, until cancelled."""
        while True:
            if not self._due:
                self._arrived.clear()
                await self._arrived.wait()
            seconds, key, revision = self._due[0]
            left = seconds - self._parts.now()
            if left > 0:
                await asyncio.sleep(left)
                continue
            self._due.popleft()
            try:
                await self._remove(key, revision)
            except errors.StatusError as error:
                log.warning("cannot remove the expired %s: %s", key, error)
                self._due.appendleft((self._parts.now() + RETRY_SECONDS, key, revision))

    async def _remove(self, key: str, revision: int) -> None:
        record = self._parts.cache.record(key)
        if record is None or record.revision != revision:
            return
        try:
            await commit.remove(self._parts, record)
        except commit.Raced:
            return  # written again: it has another place in the queue


def _written(event: Object) -> float:
    series = (event.get("series") or {}).get("lastObservedTime")
    times = [series, *(event.get(name) for name in _TIMES), event["metadata"].get("creationTimestamp")]
    return max(parse_timestamp(text) for text in times if text)
