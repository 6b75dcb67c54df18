"""
The scheduler: watch pods and nodes, decide one pod after the other, bind in parallel.

Deciding is synchronous and takes microseconds; only the binding waits for the API, so many bindings are under way while
the next pod is decided on the assumption that they succeed.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Any

from tiphys.aio import clock
from tiphys.api import resources
from tiphys.api.errors import StatusError
from tiphys.api.objects import condition_of, is_deleting, key_of, timestamp, uid_of
from tiphys.api.pods import is_finished
from tiphys.client.client import STRATEGIC_PATCH, Client
from tiphys.client.events import Recorder
from tiphys.client.informer import Informers
from tiphys.observe import metrics
from tiphys.scheduler import filters
from tiphys.scheduler.decide import Refusal, choose
from tiphys.scheduler.nodes import static_facts
from tiphys.scheduler.queue import SchedulingQueue, Waiting
from tiphys.scheduler.state import State

Object = dict[str, Any]

NAME = "default-scheduler"
BINDINGS_MAX = 256
# Decisions in a row before the loop lets others run.
BURST = 32

PODS = resources.get("", "v1", "pods")
NODES = resources.get("", "v1", "nodes")

log = logging.getLogger(__name__)
attempts = metrics.counter("tiphys_scheduler_attempts", "Scheduling attempts by result.", ["result"])


class Scheduler:
    """One scheduler for the pods that name it in `spec.schedulerName`."""

    def __init__(
        self, client: Client, informers: Informers, recorder: Recorder, *, now: clock.Clock = clock.system
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._now = now
        self._state = State()
        self._table, self._ledger = self._state.table, self._state.ledger
        self._queue = SchedulingQueue()
        self._slots = asyncio.Semaphore(BINDINGS_MAX)
        self._pods = informers.of(PODS)
        self._nodes = informers.of(NODES)

    async def run(self) -> None:
        """Schedule until cancelled."""
        self._nodes.on_event(self._node_changed)
        self._pods.on_event(self._pod_changed)
        await self._nodes.synced()
        await self._pods.synced()
        try:
            async with asyncio.TaskGroup() as group:
                await self._decide_all(group)
        finally:
            self._queue.close()

    async def _decide_all(self, group: asyncio.TaskGroup) -> None:
        in_a_row = 0
        while True:
            waiting = self._queue.pop()
            if waiting is None:
                in_a_row = 0
                await self._queue.ready()
                continue
            await self._slots.acquire()
            self._attempt(waiting, group)
            in_a_row += 1
            if in_a_row % BURST == 0:
                await asyncio.sleep(0)

    def _attempt(self, waiting: Waiting, group: asyncio.TaskGroup) -> None:
        pod = waiting.pod
        asks = self._state.asks(pod)
        choice = choose(self._state, asks, random.random())
        if isinstance(choice, Refusal):
            attempts.labels("unschedulable").inc()
            self._queue.refuse(waiting, choice.kinds)
            group.create_task(self._report(pod, choice.message))
            return
        node = self._table.objects[choice]
        assert node is not None
        self._ledger.place(pod, node["metadata"]["name"], asks.shape)
        group.create_task(self._bind(waiting, node["metadata"]["name"]))

    async def _bind(self, waiting: Waiting, node: str) -> None:
        pod = waiting.pod
        namespace, name = key_of(pod)
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace, "uid": uid_of(pod)},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        try:
            await self._client.create(PODS, binding, subresource="binding")
        except (StatusError, OSError) as error:
            self._ledger.remove(uid_of(pod))
            attempts.labels("error").inc()
            if isinstance(error, StatusError) and error.code in (404, 409):
                # Gone, or bound by someone else: the informer will say which.
                log.debug("binding %s/%s: %s", namespace, name, error)
            else:
                log.warning("binding %s/%s to %s failed: %s", namespace, name, node, error)
                self._queue.fail(waiting)
            return
        finally:
            self._slots.release()
        attempts.labels("scheduled").inc()
        self._recorder.normal(pod, "Scheduled", f"Successfully assigned {namespace}/{name} to {node}")

    async def _report(self, pod: Object, message: str) -> None:
        """Tell the user why, in the condition and as an event; only when the reason is new."""
        try:
            held = condition_of(pod, "PodScheduled") or {}
            if held.get("message") == message and held.get("status") == "False":
                return
            self._recorder.warning(pod, "FailedScheduling", message)
            condition = {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": message,
                "lastTransitionTime": held.get("lastTransitionTime") or timestamp(self._now()),
            }
            patch = {"metadata": {"uid": uid_of(pod)}, "status": {"conditions": [condition]}}
            await self._client.patch(PODS, key_of(pod), patch, subresource="status", media_type=STRATEGIC_PATCH)
        except (StatusError, OSError) as error:
            log.debug("the reason could not be written to %s: %s", key_of(pod), error)
        finally:
            self._slots.release()

    # events

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        pod = new if new is not None else old
        if pod is None:
            return
        key, node = key_of(pod), pod["spec"].get("nodeName")
        if new is None or is_finished(pod):
            self._queue.drop(key)
            if self._ledger.remove(uid_of(pod)):
                self._wake_for(pod["spec"].get("nodeName", ""))
        elif node:
            self._queue.drop(key)
            self._ledger.place(pod, node)
        elif is_deleting(pod) or pod["spec"].get("schedulingGates"):
            self._queue.drop(key)
        elif pod["spec"].get("schedulerName", NAME) == NAME:
            self._queue.put(key, pod)

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            name = old["metadata"]["name"] if old is not None else ""
            self._ledger.node_removed(name)
            self._table.remove(name)
            return
        name = new["metadata"]["name"]
        known = name in self._table.row_of
        changed = self._table.put(new)
        if not known:
            self._ledger.node_added(name)
        if not changed:
            return
        static_changed = old is None or static_facts(old) != static_facts(new)
        self._queue.wake((lambda reasons: True) if static_changed else _lifted_by_room)

    def _wake_for(self, node: str) -> None:
        if node:
            self._queue.wake(_lifted_by_room)


def _lifted_by_room(reasons: frozenset[str]) -> bool:
    """Room on a node helps pods that lacked room or a port."""
    about_room = (filters.TOO_MANY_PODS, filters.HOST_PORTS)
    return not reasons or any(reason.startswith("Insufficient") or reason in about_room for reason in reasons)
