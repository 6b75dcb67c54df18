"""
The loop that every controller shares: events make keys due, workers reconcile one key at a time.

A controller gives a `reconcile(key)` that reads the whole state from the caches and writes the whole answer. The loop
does the rest: one worker per key, back-off after failures, waiting for caches to show what was just written, and
starting only once every cache it reads is filled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from tiphys.aio.queue import Backoff, KeyQueue
from tiphys.api.errors import StatusError
from tiphys.api.resources import Resource
from tiphys.client.informer import Informer
from tiphys.observe import metrics
from tiphys.reconcile.commands import Performed

Object = dict[str, Any]
Key = tuple[str, str]
# Returns what was performed, or None when there was nothing to do.
Reconcile = Callable[[Key], Awaitable[Performed | None]]
# The keys that a change (old, new) of a watched object makes due.
KeysOf = Callable[[Object | None, Object | None], Iterable[Key]]

WORKERS = 5

log = logging.getLogger(__name__)
reconciles = metrics.counter("tiphys_reconcile_total", "Reconciles by outcome.", ["controller", "outcome"])


class Loop:
    """One controller's queue and workers. `sources` maps each informer to the keys its events make due."""

    def __init__(
        self,
        name: str,
        reconcile: Reconcile,
        sources: Mapping[Informer, KeysOf],
        *,
        reads: Iterable[Informer] = (),
        workers: int = WORKERS,
        backoff: Backoff | None = None,
    ) -> None:
        self.name = name
        self.queue: KeyQueue[Key] = KeyQueue(backoff)
        self._reconcile = reconcile
        self._workers = workers
        self._informers: dict[Resource, Informer] = {i.resource: i for i in (*sources, *reads)}
        for informer, keys_of in sources.items():
            self._listen(informer, keys_of)

    def _listen(self, informer: Informer, keys_of: KeysOf) -> None:
        def handler(old: Object | None, new: Object | None) -> None:
            for key in keys_of(old, new):
                self.queue.add(key)

        informer.on_event(handler)

    async def run(self) -> None:
        """Work until cancelled."""
        for informer in self._informers.values():
            await informer.synced()
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._workers):
                    group.create_task(self._work(), name=f"{self.name} {number}")
        finally:
            self.queue.close()

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                await self._once(key)
            finally:
                self.queue.done(key)

    async def _once(self, key: Key) -> None:
        try:
            performed = await self._reconcile(key)
            if performed is not None:
                await self._catch_up(performed)
        except StatusError as error:
            if _namespace_ends(error):
                self.queue.forget(key)
                reconciles.labels(self.name, "done").inc()
                return
            delay = self.queue.retry(key)
            # Conflicts are the normal way to learn of someone else's write.
            level = logging.DEBUG if error.code == 409 else logging.WARNING
            log.log(level, "%s %s: %s (again in %.3f s)", self.name, "/".join(key), error, delay)
            reconciles.labels(self.name, "refused").inc()
        except Exception:
            delay = self.queue.retry(key)
            log.exception("%s %s failed (again in %.3f s)", self.name, "/".join(key), delay)
            reconciles.labels(self.name, "failed").inc()
        else:
            self.queue.forget(key)
            reconciles.labels(self.name, "done").inc()
            if performed is not None and performed.requeue_seconds is not None:
                self.queue.add_after(key, performed.requeue_seconds)

    async def _catch_up(self, performed: Performed) -> None:
        """A cache that lags behind our own writes would make the next plan repeat them."""
        for resource, version in performed.versions.items():
            informer = self._informers.get(resource)
            if informer is not None and version and not await informer.reached(version):
                log.warning("%s: the cache of %s does not show version %s", self.name, resource.name, version)


def _namespace_ends(error: StatusError) -> bool:
    """Nothing can be created any more and all that is there goes: trying again would only fill the log."""
    causes = (error.status.get("details") or {}).get("causes") or ()
    return error.code == 403 and any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


def own_key(old: Object | None, new: Object | None) -> Iterable[Key]:
    """The key of the changed object itself."""
    obj = new if new is not None else old
    if obj is not None:
        yield obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def controller_key(kind: str) -> KeysOf:
    """The key of the object's controlling owner of that kind, before and after the change."""

    def keys(old: Object | None, new: Object | None) -> Iterable[Key]:
        for obj in (old, new):
            if obj is None:
                continue
            for owner in obj["metadata"].get("ownerReferences") or ():
                if owner.get("controller") and owner["kind"] == kind:
                    yield obj["metadata"].get("namespace", ""), owner["name"]

    return keys
