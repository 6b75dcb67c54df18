"""Gather what a quota counts and perform its plan."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from tiphys.api import quota, resources
from tiphys.api.objects import key_of, namespace_of
from tiphys.api.resources import Resource
from tiphys.client.metadata import Metadata
from tiphys.controllers.resourcequota.plan import QUOTAS, count, is_lower, limits_of, plan
from tiphys.reconcile.commands import Performed, Requeue
from tiphys.reconcile.loop import Key, KeysOf, Loop
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

# Kinds whose contents are counted; of all others the number is enough.
WHOLE = tuple(resources.get("", "v1", name) for name in ("pods", "services", "persistentvolumeclaims"))
# After admission has charged a quota: a creation that failed then has been charged for nothing.
RECOUNT_SECONDS = 5.0
# How long a creation that was charged may take to be in our caches.
SETTLE_SECONDS = 0.2


class ResourceQuotaController:
    """
    Writes `status` of ResourceQuotas; admission raises `used` in between.

    What frees something makes the quotas of its namespace due; what was created was charged by admission. Before a
    lower figure is written the controller waits a moment and counts again, at the version it read first: creations
    that were charged are in the caches by then, and one that is charged meanwhile makes the write a conflict. In a
    namespace that is never quiet the quota then fills up until creations are refused, and so becomes quiet.
    """

    def __init__(self, tools: Tools, metadata: Metadata) -> None:
        self._tools = tools
        self._quotas = tools.informers.of(QUOTAS)
        counted = {resource: i for resource, i in metadata.informers.items() if resource.namespaced}
        self._counted = counted | {resource: tools.informers.of(resource) for resource in WHOLE}
        sources = {informer: self._freed(resource) for resource, informer in self._counted.items()}
        self._loop = Loop("resourcequota-controller", self._reconcile, {**sources, self._quotas: self._keys_of_quota})

    async def run(self) -> None:
        await self._loop.run()

    def _keys_of_quota(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        yield from self._freed(QUOTAS)(old, new)
        if new is None:
            return
        if old is None or limits_of(old) != limits_of(new) or limits_of(new) != (new.get("status") or {}).get("hard"):
            yield key_of(new)
        elif old.get("status") != new.get("status"):
            self._loop.queue.add_after(key_of(new), RECOUNT_SECONDS)

    def _freed(self, resource: Resource) -> KeysOf:
        """The quotas of the namespace where an object of `resource` uses less than before."""

        def keys(old: Object | None, new: Object | None) -> Iterable[Key]:
            if old is None:
                return
            quotas = self._quotas.list(namespace_of(old))
            if quotas and (new is None or (resource in WHOLE and self._differs(resource, old, new))):
                yield from map(key_of, quotas)

        return keys

    def _differs(self, resource: Resource, old: Object, new: Object) -> bool:
        now = self._tools.now()
        return quota.usage_of(resource, old, now) != quota.usage_of(resource, new, now)

    async def _reconcile(self, key: Key) -> Performed | None:
        obj = self._quotas.get(*key)
        if obj is None:
            return None
        counted = self._count(obj)
        if is_lower(obj, counted):
            await asyncio.sleep(SETTLE_SECONDS)
            counted = self._count(obj)
        return await self._tools.perform([*plan(obj, counted), *self._later(obj)])

    def _count(self, obj: Object) -> quota.Usage:
        namespace, names = namespace_of(obj), limits_of(obj)
        present = {
            resource: informer.list(namespace)
            for resource, informer in self._counted.items()
            if any(quota.counts(resource, name) for name in names)
        }
        return count(obj, present, self._tools.now())

    def _later(self, obj: Object) -> list[Requeue]:
        """Pods that hang in their deletion stop counting some time, without an event."""
        now = self._tools.now()
        due = [quota.hangs_from(pod, 0.0) for pod in self._counted[WHOLE[0]].list(namespace_of(obj))]
        ahead = [moment - now for moment in due if moment >= now]
        return [Requeue(min(ahead) + 1.0)] if ahead else []
