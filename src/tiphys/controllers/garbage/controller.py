"""Keep the graph from events, find out how owners stand, perform the plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.api import resources
from tiphys.api.errors import StatusError
from tiphys.api.resources import Resource
from tiphys.client.metadata import Metadata
from tiphys.controllers.garbage.graph import Graph, Item, Owner, item_of
from tiphys.controllers.garbage.plan import Owned, due_with, plan
from tiphys.reconcile.commands import Performed
from tiphys.reconcile.loop import Key, KeysOf, Loop
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

# Owners that were asked for and are not there: a uid never comes back.
GONE_REMEMBERED_MAX = 10_000


_TIES = ("uid", "ownerReferences", "deletionTimestamp", "finalizers")


def _is_told(old: Object, new: Object) -> bool:
    """Whether a change concerns nobody here: most do not. Of what has finalizers the newest version is needed."""
    return not new.get("finalizers") and all(old.get(name) == new.get(name) for name in _TIES)


class GarbageController:
    """Deletes what nobody owns any more. A key is (uid, "")."""

    def __init__(self, tools: Tools, metadata: Metadata) -> None:
        self._tools = tools
        self._graph = Graph()
        self._gone: dict[str, None] = {}
        sources = {informer: self._keeper(resource) for resource, informer in metadata.informers.items()}
        self._loop = Loop("generic-garbage-collector", self._reconcile, sources)

    async def run(self) -> None:
        await self._loop.run()

    def _keeper(self, resource: Resource) -> KeysOf:
        def keys(old: Object | None, new: Object | None) -> Iterable[Key]:
            if new is None:
                return self._left(item_of(resource, old)) if old is not None else ()
            if old is not None and _is_told(old["metadata"], new["metadata"]):
                return ()
            replaced = old is not None and old["metadata"].get("uid") != new["metadata"].get("uid")
            left = list(self._left(item_of(resource, old))) if replaced and old is not None else []
            return [*left, *self._changed(item_of(resource, new))]

        return keys

    def _changed(self, item: Item) -> Iterable[Key]:
        held = self._graph.put(item)
        if item.same_ties(held):
            return
        if item.owners or item.deleting:
            yield item.uid, ""
        yield from self._waiting_owners(item)

    def _left(self, item: Item) -> Iterable[Key]:
        self._graph.remove(item.uid)
        for dependent in self._graph.dependents(item.uid):
            yield dependent.uid, ""
        yield from self._waiting_owners(item)

    def _waiting_owners(self, item: Item) -> Iterable[Key]:
        for owner in item.owners:
            held = self._graph.get(owner["uid"])
            if held is not None and held.waits_for_dependents:
                yield held.uid, ""

    async def _reconcile(self, key: Key) -> Performed | None:
        item = self._graph.get(key[0])
        if item is None:
            return None
        dependents = self._graph.dependents(item.uid)
        for dependent in due_with(item, dependents):
            self._loop.queue.add((dependent.uid, ""))
        owners = {owner["uid"]: await self._standing(item, owner) for owner in item.owners} if not item.deleting else {}
        return await self._tools.perform(plan(item, owners, dependents))

    async def _standing(self, item: Item, owner: Owner) -> Owned:
        held = self._graph.get(owner["uid"])
        if held is not None:
            elsewhere = held.resource.namespaced and held.key[0] != item.key[0]
            return Owned.GONE if elsewhere else Owned.WAITS if held.waits_for_dependents else Owned.LIVES
        if owner["uid"] in self._gone:
            return Owned.GONE
        if await self._exists(item, owner):
            return Owned.LIVES
        self._gone[owner["uid"]] = None
        if len(self._gone) > GONE_REMEMBERED_MAX:
            del self._gone[next(iter(self._gone))]
        return Owned.GONE

    async def _exists(self, item: Item, owner: Owner) -> bool:
        """Ask the server: our caches may not have seen a young owner yet. A kind that is not served may come back."""
        resource = resources.of_kind(owner["apiVersion"], owner["kind"])
        if resource is None:
            return True
        if resource.namespaced and not item.key[0]:
            return False  # nothing outside of namespaces can be owned from inside of one
        try:
            found = await self._tools.client.get(resource, owner["name"], item.key[0] if resource.namespaced else "")
        except StatusError as error:
            if error.code == 404:
                return False
            raise
        return bool(found["metadata"].get("uid") == owner["uid"])
