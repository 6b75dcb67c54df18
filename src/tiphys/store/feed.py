"""
Hand committed events to watchers.

One Feed per store. A subscription first catches up from the history (the store reads it), then takes live events from
a bounded queue. A watcher that is too slow loses its queue, not its place: it catches up from the history again, and
only when that part has been compacted does it fail. So a slow watcher costs bounded memory and never slows a write.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from tiphys.store.door import Event, FutureRevision, Listener

# Live events kept for one watcher before it has to read the history again.
QUEUE_MAX = 10_000
# Events handed out in one batch while catching up.
CATCH_UP_MAX = 1_000

# (prefix, after, up to, limit) -> events in revision order; raises Compacted.
ReadHistory = Callable[[str, int, int, int], Awaitable[Sequence[Event]]]


class Subscription:
    """The live side of one watcher: events after `seen`, or `overrun` once too many waited."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.queue: deque[Event] = deque()
        self.overrun = False
        self.waiter: asyncio.Future[None] | None = None

    def wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


class Feed:
    """Publishes events in revision order; `revision` is the newest one published."""

    def __init__(self, read_history: ReadHistory, revision: int = 0) -> None:
        self._read_history = read_history
        self._subscriptions: set[Subscription] = set()
        self._listeners: list[Listener] = []
        self.revision = revision

    def listen(self, listener: Listener) -> Callable[[], None]:
        """See Store.listen."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def publish(self, events: Sequence[Event]) -> None:
        """Called on the loop, once for each commit."""
        if not events:
            return
        self.revision = events[-1].revision
        for listener in tuple(self._listeners):
            listener(events)
        for subscription in self._subscriptions:
            self._offer(subscription, events)

    @staticmethod
    def _offer(subscription: Subscription, events: Sequence[Event]) -> None:
        if subscription.overrun:
            return
        wanted = [event for event in events if event.key.startswith(subscription.prefix)]
        if not wanted:
            return
        if len(subscription.queue) + len(wanted) > QUEUE_MAX:
            subscription.queue.clear()
            subscription.overrun = True
        else:
            subscription.queue.extend(wanted)
        subscription.wake()

    async def watch(self, prefix: str, revision: int) -> AsyncIterator[Sequence[Event]]:
        """See Store.watch."""
        if revision > self.revision:
            raise FutureRevision(f"revision {revision} has not happened yet, the newest is {self.revision}")
        subscription = Subscription(prefix)
        self._subscriptions.add(subscription)
        seen, live_from = revision, self.revision
        try:
            while True:
                async for batch in self._catch_up(prefix, seen, live_from):
                    yield batch
                seen = live_from
                async for batch in self._follow(subscription):
                    seen = batch[-1].revision
                    yield batch
                # Overrun: whatever was published until now comes from the history.
                subscription.overrun, live_from = False, self.revision
        finally:
            self._subscriptions.discard(subscription)

    async def _catch_up(self, prefix: str, after: int, up_to: int) -> AsyncIterator[Sequence[Event]]:
        while after < up_to:
            events = await self._read_history(prefix, after, up_to, CATCH_UP_MAX)
            if not events:
                return
            yield events
            after = events[-1].revision

    @staticmethod
    async def _follow(subscription: Subscription) -> AsyncIterator[Sequence[Event]]:
        while not subscription.overrun:
            if subscription.queue:
                batch = tuple(subscription.queue)
                subscription.queue.clear()
                yield batch
                continue
            subscription.waiter = asyncio.get_running_loop().create_future()
            try:
                await subscription.waiter
            finally:
                subscription.waiter = None
