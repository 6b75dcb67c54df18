"""
Events: what a part tells the user about an object (`kubectl describe`, `kubectl get events`).

Best effort by design: a bounded queue between the caller and the API, equal events are counted on one Event object,
floods are held back (`similar.py`), and when the API cannot take them they are dropped with one log line. Nothing waits
for an event.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tiphys.aio import clock
from tiphys.api import resources
from tiphys.api.errors import StatusError
from tiphys.api.objects import timestamp
from tiphys.client.client import Client
from tiphys.client.similar import Budget, Similar, subject_key

Object = dict[str, Any]

# Notes that may wait. They are sent one after the other, and each waits for its write: a busy server takes few of them
# between all else, and the rest when it has time. A burst of ten thousand pods gives one each from the scheduler and
# from a controller; a note is about 1 KB.
QUEUE_MAX = 20_000
# Distinct recent events remembered for counting.
REMEMBERED_MAX = 2_000
MESSAGE_MAX = 1_024
NAME_MAX = 236

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that happened to `subject` (an object reference)."""

    subject: Mapping[str, Any]
    type: str
    reason: str
    message: str
    at: float


def reference(obj: Mapping[str, Any]) -> Object:
    """The ObjectReference of an object that carries apiVersion and kind."""
    meta = obj["metadata"]
    found = {
        "kind": obj.get("kind", ""),
        "namespace": meta.get("namespace", ""),
        "name": meta.get("name", ""),
        "uid": meta.get("uid", ""),
        "apiVersion": obj.get("apiVersion", ""),
        "resourceVersion": meta.get("resourceVersion", ""),
    }
    return {name: value for name, value in found.items() if value}


class Recorder:
    """Events of one component (`kubelet`, `deployment-controller`) on one host."""

    def __init__(self, client: Client, component: str, host: str = "", now: clock.Clock = clock.system) -> None:
        self._client = client
        self._component = component
        self._host = host
        self._now = now
        self._queue: asyncio.Queue[Note] = asyncio.Queue(QUEUE_MAX)
        self._known: OrderedDict[tuple[str, ...], tuple[str, int]] = OrderedDict()
        self._resource = resources.get("", "v1", "events")
        self._similar, self._budget = Similar(), Budget()
        self._last_suffix = 0
        self._dropping = False

    def normal(self, obj: Mapping[str, Any], reason: str, message: str, *, field_path: str = "") -> None:
        self._record(obj, "Normal", reason, message, field_path)

    def warning(self, obj: Mapping[str, Any], reason: str, message: str, *, field_path: str = "") -> None:
        self._record(obj, "Warning", reason, message, field_path)

    def _record(self, obj: Mapping[str, Any], kind: str, reason: str, message: str, field_path: str) -> None:
        subject = reference(obj)
        if field_path:
            subject["fieldPath"] = field_path
        try:
            self._queue.put_nowait(Note(subject, kind, reason, message[:MESSAGE_MAX], self._now()))
        except asyncio.QueueFull:
            # One line for a flood: what it would say of each is what there is no room for.
            if not self._dropping:
                log.warning("too many events wait, dropped: %s %s, and more", reason, subject.get("name"))
            self._dropping = True
        else:
            self._dropping = self._dropping and self._queue.qsize() > QUEUE_MAX // 2

    async def run(self) -> None:
        """Send events until cancelled."""
        while True:
            note = await self._queue.get()
            try:
                await self._send(note)
            except (StatusError, OSError) as error:
                log.info("an event could not be recorded (%s): %s", note.reason, error)
            self._queue.task_done()

    async def drained(self) -> None:
        """Wait until everything recorded so far has been sent."""
        await self._queue.join()

    async def _send(self, note: Note) -> None:
        subject, about = note.subject, subject_key(note.subject)
        # Where in the object it was (`fieldPath`) tells equal events apart, but not similar ones.
        place = str(subject.get("fieldPath", ""))
        message, key = self._similar.message_and_key((*about, note.type, note.reason), note.message, note.at)
        key = (*key, place)
        known = self._known.pop(key, None)
        namespace = subject.get("namespace") or "default"
        allowed = self._budget.allows(about, note.at)
        if known is not None:
            name, count = known[0], known[1] + 1
            self._remember(key, name, count)
            if not allowed:
                return
            change = {"count": count, "lastTimestamp": timestamp(note.at), "message": message}
            try:
                await self._client.patch(self._resource, (namespace, name), change)
                return
            except StatusError as error:
                if error.code != 404:
                    raise
        if not allowed:
            return
        event = self._event(replace(note, message=message), namespace)
        await self._client.create(self._resource, event, namespace)
        self._remember(key, event["metadata"]["name"], 1)

    def _remember(self, key: tuple[str, ...], name: str, count: int) -> None:
        self._known[key] = (name, count)
        if len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)

    def _event(self, note: Note, namespace: str) -> Object:
        at = timestamp(note.at)
        # Two events of one instant still need two names.
        self._last_suffix = max(self._last_suffix + 1, int(note.at * 1e9))
        name = f"{note.subject['name'][:NAME_MAX]}.{self._last_suffix:x}"
        source = {"component": self._component, "host": self._host} if self._host else {"component": self._component}
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": dict(note.subject),
            "reason": note.reason,
            "message": note.message,
            "source": source,
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
            "type": note.type,
            "eventTime": None,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }
