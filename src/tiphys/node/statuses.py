"""
Pod statuses on their way to the API: few and ordered.

For each pod at most one request is in flight and only the newest status waits behind it. Only what differs is sent, as
a strategic merge patch that names the uid, so that a pod of the same name is never touched; a refused or lost request
is tried again with back-off. An object is deleted (grace 0, uid precondition) only after its last status is in.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tiphys.aio.queue import Backoff, KeyQueue
from tiphys.api import resources
from tiphys.api.errors import StatusError
from tiphys.api.objects import key_of, uid_of
from tiphys.client.client import STRATEGIC_PATCH, Client
from tiphys.node.pod import spec
from tiphys.node.pod.conditions import DISRUPTION, OWNED, PASSING

Object = dict[str, Any]

SENDERS = 8
# The pod is gone or another has its name: nothing is left to report to.
GONE = (404, 409)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Slot:
    """`base` is what the API has; `wanted` what it should have; `uid` whose it is, "" of a static pod not shown."""

    key: tuple[str, str]
    uid: str
    base: Object
    wanted: Object
    delete: bool = False
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Statuses:
    """The one writer of `pods/status` on this node."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._pods = resources.get("", "v1", "pods")
        self._slots: dict[str, _Slot] = {}
        self._queue: KeyQueue[str] = KeyQueue(Backoff(0.05, 10.0))

    def submit(self, pod: Object, status: Object) -> None:
        """Let the API know `status`; a newer one replaces it if it has not been sent yet."""
        slot = self._slot(pod)
        slot.wanted = status
        if slot.base != status:
            slot.done.clear()
            self._queue.add(uid_of(pod))

    def delete(self, pod: Object) -> None:
        """Remove the object once its newest status has been sent."""
        slot = self._slot(pod)
        slot.delete = True
        slot.done.clear()
        self._queue.add(uid_of(pod))

    def _slot(self, pod: Object) -> _Slot:
        uid = uid_of(pod)
        if uid not in self._slots:
            known = pod.get("status") or {}
            self._slots[uid] = _Slot(key_of(pod), "" if spec.is_static(pod) else uid, known, known)
        return self._slots[uid]

    def mirrored(self, pod: Object, mirror: Object | None) -> None:
        """A static pod is shown by that mirror pod from now on, or by none."""
        slot = self._slot(pod)
        slot.uid = uid_of(mirror) if mirror is not None else ""
        if mirror is not None:
            slot.base = mirror.get("status") or {}
            self._queue.add(uid_of(pod))

    async def flushed(self, pod: Object) -> None:
        """Wait until everything submitted for the pod has been sent, or the pod is gone."""
        slot = self._slots.get(uid_of(pod))
        if spec.is_static(pod):
            return  # it does not wait for an API that it does not need
        if slot is not None and (slot.delete or slot.base != slot.wanted):
            await slot.done.wait()

    def forget(self, uid: str) -> None:
        slot = self._slots.pop(uid, None)
        if slot is not None:
            slot.done.set()

    async def run(self) -> None:
        """Send until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(SENDERS):
                    group.create_task(self._work(), name=f"pod status {number}")
        finally:
            self._queue.close()

    async def _work(self) -> None:
        while True:
            uid = await self._queue.get()
            try:
                await self._send(uid)
                self._queue.forget(uid)
            except (StatusError, OSError) as error:
                delay = self._queue.retry(uid)
                log.warning("the status of pod %s could not be written (again in %.2f s): %s", uid, delay, error)
            finally:
                self._queue.done(uid)

    async def _send(self, uid: str) -> None:
        slot = self._slots.get(uid)
        if slot is None or not slot.uid:
            return
        try:
            await self._patch(slot.uid, slot)
            if slot.delete and slot.base == slot.wanted:
                await self._client.delete(self._pods, slot.key, uid=slot.uid, grace_seconds=0)
                slot.delete = False
        except StatusError as error:
            if error.code not in GONE:
                raise
            slot.base, slot.delete = slot.wanted, False
        if slot.base == slot.wanted and not slot.delete:
            slot.done.set()
        else:
            self._queue.add(uid)

    async def _patch(self, uid: str, slot: _Slot) -> None:
        wanted = slot.wanted
        changes = difference(slot.base, wanted)
        if changes:
            patch = {"metadata": {"uid": uid}, "status": changes}
            await self._client.patch(self._pods, slot.key, patch, subresource="status", media_type=STRATEGIC_PATCH)
        slot.base = wanted


def difference(base: Mapping[str, Any], wanted: Mapping[str, Any]) -> Object:
    """The strategic merge patch that makes `wanted` out of `base`."""
    changes: Object = {name: None for name in base if name not in wanted}
    for name, value in wanted.items():
        if base.get(name) == value:
            continue
        if name == "conditions":
            changes |= _conditions(base.get(name) or (), value)
        elif name in ("podIPs", "hostIPs"):
            changes[name] = [{"$patch": "replace"}, *value] if base.get(name) else value
        else:
            changes[name] = value
    return changes


def _conditions(base: Any, wanted: Any) -> Object:
    """Only ours that differ, with the order of all: others may add theirs meanwhile."""
    before = {condition["type"]: condition for condition in base}
    kept = {condition["type"] for condition in wanted}
    changed = []
    for condition in wanted:
        if condition["type"] in (*OWNED, *PASSING, DISRUPTION) and before.get(condition["type"]) != condition:
            old = before.get(condition["type"], {})
            gone = {name: None for name in old if name not in condition}
            changed.append({**gone, **{k: v for k, v in condition.items() if v is not None}})
    changed += [
        {"$patch": "delete", "type": kind} for kind in before if kind in (*OWNED, *PASSING) and kind not in kept
    ]
    if not changed:
        return {}
    return {"$setElementOrder/conditions": [{"type": c["type"]} for c in wanted], "conditions": changed}
