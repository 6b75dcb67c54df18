"""
A local cache of one resource, kept by list + watch, with handlers and indexes.

Everything that reacts to the API reads from an Informer and is woken by its handlers; nothing polls. Objects in the
cache are shared and never changed. `reached(version)` lets a writer wait until the cache shows what it just wrote, so
that a reconcile never acts twice on a stale picture.

After a broken watch it resumes from the last version seen; only when that is too old does it list again, and then it
reports as events just what differs.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from tiphys.api.errors import StatusError
from tiphys.api.objects import key_of, revision_of
from tiphys.api.resources import Resource
from tiphys.client.client import Client

Object = dict[str, Any]
Key = tuple[str, str]
# (old, new): old is None for an added object, new is None for a deleted one.
Handler = Callable[[Object | None, Object | None], None]
# The index values an object is found under.
Index = Callable[[Object], Iterable[str]]

RETRY_FIRST_SECONDS = 0.05
RETRY_MAX_SECONDS = 10.0

log = logging.getLogger(__name__)


class Informer:
    """`run()` fills it; `await synced()` returns once the first list is in."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
    ) -> None:
        self.resource = resource
        self._client = client
        self._namespace = namespace
        self._parameters = {"labelSelector": label_selector, "fieldSelector": field_selector}
        self._objects: dict[Key, Object] = {}
        self._by_namespace: defaultdict[str, dict[Key, Object]] = defaultdict(dict)
        self._indexes: dict[str, Index] = {}
        self._indexed: dict[str, defaultdict[str, dict[Key, Object]]] = {}
        self._handlers: list[Handler] = []
        self._version = ""
        self._synced = asyncio.Event()
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []

    # reading

    def get(self, namespace: str, name: str) -> Object | None:
        return self._objects.get((namespace, name))

    def list(self, namespace: str = "") -> Iterable[Object]:
        """All objects, or those of one namespace, in no order."""
        if not namespace:
            return list(self._objects.values())
        return list(self._by_namespace[namespace].values()) if namespace in self._by_namespace else []

    def by(self, index: str, value: str) -> Iterable[Object]:
        """The objects that the named index files under `value`."""
        return list(self._indexed[index][value].values()) if value in self._indexed[index] else []

    def __len__(self) -> int:
        return len(self._objects)

    # set-up

    def add_index(self, name: str, index: Index) -> None:
        """Idempotent for one name, so that several parts may ask for the same index."""
        if name in self._indexes:
            return
        self._indexes[name] = index
        filed = self._indexed[name] = defaultdict(dict)
        for key, obj in self._objects.items():
            for value in index(obj):
                filed[value][key] = obj

    def on_event(self, handler: Handler) -> None:
        """Call `handler(old, new)` for each change, on the loop; objects that are here already come as added."""
        self._handlers.append(handler)
        for obj in list(self._objects.values()):
            handler(None, obj)

    # waiting

    async def synced(self) -> None:
        await self._synced.wait()

    @property
    def is_synced(self) -> bool:
        return self._synced.is_set()

    async def reached(self, version: str, timeout_seconds: float = 5.0) -> bool:
        """Wait until the cache has seen `version` of this resource. False after the timeout."""
        wanted = int(version)
        if self._version and int(self._version) >= wanted:
            return True
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append((wanted, waiter))
        try:
            async with asyncio.timeout(timeout_seconds):
                await waiter
        except TimeoutError:
            return False
        finally:
            self._waiters = [item for item in self._waiters if item[1] is not waiter]
        return True

    # keeping

    async def run(self) -> None:
        """List and watch until cancelled. Failures are logged once in a row and retried with back-off."""
        failures = 0
        while True:
            try:
                if not self._version:
                    await self._relist()
                await self._follow()
                failures = 0
            except StatusError as error:
                if error.code == 410:
                    self._version = ""
                    continue
                failures += 1
                self._complain(failures, error)
            except OSError as error:
                failures += 1
                self._complain(failures, error)
            if failures:
                delay = min(RETRY_FIRST_SECONDS * 2.0 ** min(failures, 20), RETRY_MAX_SECONDS)
                await asyncio.sleep(delay * random.uniform(0.5, 1.0))

    def _complain(self, failures: int, error: Exception) -> None:
        if failures == 1:
            log.warning("watching %s failed, trying again: %s", self.resource.name, error)

    async def _relist(self) -> None:
        listing = await self._client.list(self.resource, self._namespace, **self._parameters)
        fresh = {key_of(obj): obj for obj in listing.items}
        for key in [key for key in self._objects if key not in fresh]:
            self._forget(key)
        for key, obj in fresh.items():
            held = self._objects.get(key)
            if held is None or revision_of(held) != revision_of(obj):
                self._keep(key, obj)
        self._advance(listing.resource_version)
        self._synced.set()

    async def _follow(self) -> None:
        stream = self._client.watch(self.resource, self._namespace, resource_version=self._version, **self._parameters)
        async for event in stream:
            if event.type == "DELETED":
                self._forget(key_of(event.object), event.object)
            elif event.type != "BOOKMARK":
                self._keep(key_of(event.object), event.object)
            self._advance(revision_of(event.object))

    def _keep(self, key: Key, obj: Object) -> None:
        old = self._objects.get(key)
        self._objects[key] = self._by_namespace[key[0]][key] = obj
        self._refile(key, old, obj)
        self._tell(old, obj)

    def _forget(self, key: Key, last: Object | None = None) -> None:
        old = self._objects.pop(key, None)
        if old is None:
            return
        _drop(self._by_namespace, key[0], key)
        self._refile(key, old, None)
        self._tell(last or old, None)

    def _refile(self, key: Key, old: Object | None, new: Object | None) -> None:
        for name, index in self._indexes.items():
            filed = self._indexed[name]
            values = tuple(index(new)) if new is not None else ()
            for value in index(old) if old is not None else ():
                if value not in values:
                    _drop(filed, value, key)
            if new is not None:
                for value in values:
                    filed[value][key] = new

    def _tell(self, old: Object | None, new: Object | None) -> None:
        for handler in self._handlers:
            try:
                handler(old, new)
            except Exception:
                log.exception("a handler of %s failed", self.resource.name)

    def _advance(self, version: str) -> None:
        if not version:
            return
        self._version = version
        seen = int(version)
        for wanted, waiter in self._waiters:
            if wanted <= seen and not waiter.done():
                waiter.set_result(None)


def _drop(filed: dict[str, dict[Key, Object]], value: str, key: Key) -> None:
    """Take a key out of a drawer, and the drawer away with its last key."""
    drawer = filed.get(value)
    if drawer is not None and drawer.pop(key, None) is not None and not drawer:
        del filed[value]


class Informers:
    """One shared Informer per resource for all parts of a process: each event is decoded once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._informers: dict[Resource, Informer] = {}
        self._group: asyncio.TaskGroup | None = None

    def of(self, resource: Resource) -> Informer:
        """The shared informer; it starts with `run()`, or at once when that is running."""
        informer = self._informers.get(resource)
        if informer is None:
            informer = self._informers[resource] = Informer(self._client, resource)
            if self._group is not None:
                self._group.create_task(informer.run(), name=f"informer {resource.name}")
        return informer

    def apart(self, resource: Resource, *, field_selector: str = "", label_selector: str = "") -> Informer:
        """One of its own for a part of a resource; whoever asks for it runs it."""
        return Informer(self._client, resource, field_selector=field_selector, label_selector=label_selector)

    async def synced(self) -> None:
        for informer in list(self._informers.values()):
            await informer.synced()

    async def run(self) -> None:
        """Keep every informer until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for informer in self._informers.values():
                group.create_task(informer.run(), name=f"informer {informer.resource.name}")
            await asyncio.get_running_loop().create_future()
