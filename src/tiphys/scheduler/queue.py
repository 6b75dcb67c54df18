"""
Pods that wait for a node: active, backing off, or unschedulable until something changes that can help.

An unschedulable pod remembers why; an event (a node came, was freed, untainted, relabelled) wakes just the pods whose
reasons it can lift. Attempts of one pod back off from 1 to 10 seconds. Nothing is flushed on a timer.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tiphys.aio.queue import Backoff
from tiphys.scheduler.state import Asks

Object = dict[str, Any]
Key = tuple[str, str]

BACKOFF = Backoff(1.0, 10.0)


@dataclass(slots=True)
class Waiting:
    """
    A pod in the queue. `reasons` is set while it is unschedulable; `asks` is what it asked for then, and `telling` the
    task that says so.
    """

    pod: Object
    order: int
    attempts: int = 0
    reasons: frozenset[str] | None = None
    asks: Asks | None = None
    tried_at: float = 0.0
    telling: asyncio.Task[None] | None = field(default=None, repr=False)
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)
    gone: bool = False


class SchedulingQueue:
    """Highest priority first, then first come first served. `now` is the loop's clock."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._heap: list[tuple[int, int, Waiting]] = []
        self._all: dict[Key, Waiting] = {}
        # Those with reasons, by order, and the same by reason: what an event has to look through.
        self._refused: dict[int, Waiting] = {}
        self._by_reason: defaultdict[str, dict[int, Waiting]] = defaultdict(dict)
        self._numbers = itertools.count()
        self._available = asyncio.Event()

    def __len__(self) -> int:
        return len(self._all)

    def put(self, key: Key, pod: Object) -> None:
        """A new pod, or a newer version of one that waits: another spec or other labels are worth an attempt."""
        held = self._all.get(key)
        if held is None:
            held = self._all[key] = Waiting(pod, next(self._numbers))
            self._activate(held)
            return
        before, after = held.pod["metadata"], pod["metadata"]
        changed = held.pod["spec"] != pod["spec"] or any(before.get(k) != after.get(k) for k in ("uid", "labels"))
        held.pod = pod
        if changed and held.reasons is not None:
            self._activate(held)

    def drop(self, key: Key) -> None:
        """The pod is gone, bound or finished."""
        held = self._all.pop(key, None)
        if held is not None:
            held.gone = True
            self._unfile(held)
            self._stop_timer(held)

    def pop(self) -> Waiting | None:
        """The next pod to try, or None. It stays known until `drop`."""
        while self._heap:
            _, _, waiting = heapq.heappop(self._heap)
            if not waiting.gone:
                return waiting
        self._available.clear()
        return None

    async def ready(self) -> None:
        """Wait until `pop` may have something."""
        await self._available.wait()

    def refuse(self, waiting: Waiting, reasons: frozenset[str], asks: Asks | None = None) -> None:
        """No node fits: it waits until an event can lift one of the reasons."""
        waiting.attempts, waiting.tried_at = waiting.attempts + 1, self._now()
        waiting.reasons, waiting.asks = reasons, asks
        if not waiting.gone:
            self._refused[waiting.order] = waiting
            for reason in reasons:
                self._by_reason[reason][waiting.order] = waiting

    def fail(self, waiting: Waiting) -> None:
        """The attempt itself failed (the binding was refused): try again after the back-off."""
        waiting.attempts, waiting.tried_at = waiting.attempts + 1, self._now()
        if not waiting.gone:
            self._unfile(waiting)
            waiting.reasons = frozenset()
            self._later(waiting)

    def wake(self, helps: Callable[[Waiting], bool], about: Iterable[str] | None = None) -> None:
        """Something changed: try the pods again whose reasons it can lift; only those refused for one of `about`."""
        if about is None:
            asked = list(self._refused.values())
        else:
            asked = [waiting for reason in about for waiting in self._by_reason.get(reason, {}).values()]
        for waiting in asked:
            if waiting.reasons is not None and waiting.timer is None and helps(waiting):
                self._later(waiting)

    def retry(self, key: Key) -> None:
        """Try a pod again that waits, whatever it waits for."""
        waiting = self._all.get(key)
        if waiting is not None and waiting.reasons is not None and waiting.timer is None:
            self._later(waiting)

    def close(self) -> None:
        for waiting in self._all.values():
            self._stop_timer(waiting)

    def _later(self, waiting: Waiting) -> None:
        """Pods that were tried often wait longest after an attempt; the first wake-up after one is immediate."""
        pause = BACKOFF.delay(waiting.attempts - 1) if waiting.attempts > 1 else 0.0
        delay = waiting.tried_at + pause - self._now()
        if pause <= 0 or delay <= 0:
            self._activate(waiting)
        elif waiting.timer is None:
            waiting.timer = asyncio.get_running_loop().call_later(delay, self._activate, waiting)

    def _activate(self, waiting: Waiting) -> None:
        self._stop_timer(waiting)
        self._unfile(waiting)
        waiting.reasons = None
        priority = int(waiting.pod["spec"].get("priority") or 0)
        heapq.heappush(self._heap, (-priority, waiting.order, waiting))
        self._available.set()

    def _unfile(self, waiting: Waiting) -> None:
        if self._refused.pop(waiting.order, None) is None:
            return
        for reason in waiting.reasons or ():
            filed = self._by_reason[reason]
            del filed[waiting.order]
            if not filed:
                del self._by_reason[reason]

    @staticmethod
    def _stop_timer(waiting: Waiting) -> None:
        if waiting.timer is not None:
            waiting.timer.cancel()
            waiting.timer = None
