"""
The scheduler: watch pods and nodes, decide one pod after the other, bind in parallel.

Deciding is synchronous and takes microseconds; only the binding waits for the API, so many bindings are under way while
the next pod is decided on the assumption that they succeed.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine, Sequence
from typing import Any

from tiphys.aio import clock
from tiphys.api import resources
from tiphys.api.errors import StatusError
from tiphys.api.objects import key_of, uid_of
from tiphys.client.client import Client
from tiphys.client.events import Recorder
from tiphys.client.informer import Informers
from tiphys.observe import metrics
from tiphys.scheduler import hints
from tiphys.scheduler.decide import Refusal, choose
from tiphys.scheduler.follower import NAME, Follower
from tiphys.scheduler.preempting import Preemptor
from tiphys.scheduler.preemption import NEVER, UNDER_WAY, Candidate, preempt
from tiphys.scheduler.queue import SchedulingQueue, Waiting
from tiphys.scheduler.reports import ERROR, PODS, UNSCHEDULABLE, Reports
from tiphys.scheduler.state import Asks, State
from tiphys.scheduler.volume_binding import NotBoundError, VolumeBinder
from tiphys.scheduler.volumes import Choice

Object = dict[str, Any]

BINDINGS_MAX = 256
# Decisions in a row before the loop lets others run.
BURST = 32

BUDGETS = resources.get("policy", "v1", "poddisruptionbudgets")

log = logging.getLogger(__name__)
attempts = metrics.counter("tiphys_scheduler_attempts", "Scheduling attempts by result.", ["result"])

__all__ = ["NAME", "Scheduler"]


class Scheduler:
    """One scheduler for the pods that name it in `spec.schedulerName`."""

    def __init__(
        self, client: Client, informers: Informers, recorder: Recorder, *, now: clock.Clock = clock.system
    ) -> None:
        self._client = client
        self._state = State()
        self._queue = SchedulingQueue(lambda: asyncio.get_running_loop().time())
        self._slots = asyncio.Semaphore(BINDINGS_MAX)
        self._reports = Reports(client, recorder, now)
        self._binder = VolumeBinder(client, self._state.volumes)
        self._preemptor = Preemptor(client, self._reports, self._state, self._queue.retry)
        self._follower = Follower(informers, self._state, self._queue, self._binder.changed)
        self._budgets = informers.of(BUDGETS)

    async def run(self) -> None:
        """Schedule until cancelled."""
        await self._budgets.synced()
        await self._follower.start()
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
            found = self._attempt(waiting, group)
            in_a_row += 1
            # To look for room that can be made takes longer than to choose.
            if not found or in_a_row % BURST == 0:
                await asyncio.sleep(0)

    def _attempt(self, waiting: Waiting, group: asyncio.TaskGroup) -> bool:
        """Decide on one pod, and whether there is a node for it. The task that follows gives the slot back."""
        pod, state = waiting.pod, self._state
        asks = state.asks(pod)
        choice = choose(state, asks, random.random())
        if isinstance(choice, Refusal):
            attempts.labels("unschedulable").inc()
            waiting.telling = group.create_task(self._refuse(waiting, asks, choice))
            return False
        node = state.table.objects[choice]
        assert node is not None
        name = node["metadata"]["name"]
        claims = asks.volumes.choices_on(choice) if asks.volumes is not None and asks.volumes.has_choices else None
        state.volumes.promise(claims or (), name)
        if len(state.nominations):
            self._forget_promise(pod, name)
        state.ledger.place(pod, name, asks.shape)
        self._queue.wake(hints.after_pod_came(state, pod), hints.COMPANY)
        group.create_task(self._bind(waiting, name, claims or ()))
        return True

    def _forget_promise(self, pod: Object, node: str = "") -> bool:
        """The pod goes to `node`, or nowhere: what it was promised elsewhere is free. False if there was no promise."""
        promised = self._state.nominations.remove(uid_of(pod))
        if promised is not None and promised.node != node:
            self._queue.wake(hints.after_pod_left(self._state, pod, promised.node))
        return promised is not None

    # to a node

    async def _bind(self, waiting: Waiting, node: str, claims: Sequence[Choice]) -> None:
        pod = waiting.pod
        try:
            if waiting.telling is not None:  # else its "no node" could come after the node
                await asyncio.wait([waiting.telling])
            if claims:
                await self._bind_claims(waiting, node, claims)
            await self._client.create(PODS, _binding(pod, node), subresource="binding")
        except (StatusError, OSError, NotBoundError) as error:
            await self._take_back(waiting, node, error)
            return
        finally:
            self._slots.release()
            self._state.volumes.withdraw(claims)
        attempts.labels("scheduled").inc()
        self._reports.bound(pod, node)

    async def _bind_claims(self, waiting: Waiting, node: str, claims: Sequence[Choice]) -> None:
        """To make a volume may take minutes: the slot is for others meanwhile."""
        self._slots.release()
        try:
            await self._binder.bind(waiting, key_of(waiting.pod), claims, node)
        finally:
            await self._slots.acquire()

    async def _take_back(self, waiting: Waiting, node: str, error: Exception) -> None:
        """The pod is not where it was assumed to be."""
        pod = waiting.pod
        attempts.labels("error").inc()
        if self._state.ledger.remove(uid_of(pod)):
            self._queue.wake(hints.after_pod_left(self._state, pod, node))
        if isinstance(error, NotBoundError):
            self._queue.wake(hints.after_volume)
        if (isinstance(error, StatusError) and error.code == 404) or waiting.gone:
            log.debug("binding %s: %s", key_of(pod), error)  # the informer will say it
            return
        if isinstance(error, NotBoundError):
            message = f'running PreBind plugin "VolumeBinding": {error}'
            await self._reports.refused(pod, ERROR, message)
        elif not (isinstance(error, StatusError) and error.code == 409):
            log.warning("binding %s to %s failed: %s", key_of(pod), node, error)
        self._queue.fail(waiting)

    # nowhere

    def _refuse(self, waiting: Waiting, asks: Asks, refusal: Refusal) -> Coroutine[Any, Any, None]:
        """Look for room that can be made, and tell the user; the pod waits for an event that can help."""
        self._queue.refuse(waiting, refusal.kinds, asks)
        pod, message = waiting.pod, refusal.message
        if not refusal.nodes:
            return self._tell(pod, message, None)
        if refusal.at_all:  # what Kubernetes' plugins say that were not asked
            return self._tell(pod, f"{message} not found", None)
        made = preempt(self._state, asks, refusal, list(self._budgets.list()), random.random())
        if isinstance(made, Candidate):
            self._state.nominations.put(self._state.ledger.placed(pod, made.node, asks.shape))
            self._state.nominations.victims.update(victim.uid for victim in made.victims)
            return self._make_room(waiting, message, made)
        keeps = made in (NEVER, UNDER_WAY)
        given_up = "" if not keeps and self._forget_promise(pod) else None
        return self._tell(pod, f"{message} no new claims to deallocate, preemption: {made}", given_up)

    async def _tell(self, pod: Object, message: str, nominated: str | None) -> None:
        try:
            await self._reports.refused(pod, UNSCHEDULABLE, message, nominated)
        finally:
            self._slots.release()

    async def _make_room(self, waiting: Waiting, message: str, candidate: Candidate) -> None:
        try:
            await self._reports.refused(waiting.pod, UNSCHEDULABLE, message, candidate.node)
            if not await self._preemptor.make_room(waiting.pod, candidate):
                self._forget_promise(waiting.pod)
                self._queue.fail(waiting)
        finally:
            self._slots.release()


def _binding(pod: Object, node: str) -> Object:
    namespace, name = key_of(pod)
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": name, "namespace": namespace, "uid": uid_of(pod)},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }
