"""
ConfigMaps, Secrets and the like that pods on this node refer to, each watched by its own name.

The first read asks the API; from then on a watch of just that object keeps it (a node may see no others), so that the
next pod finds it here and a change wakes those that use it. An object nobody refers to any more is dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tiphys.api import resources
from tiphys.api.errors import StatusError
from tiphys.api.objects import revision_of
from tiphys.client.client import Client
from tiphys.client.informer import Informer

Object = dict[str, Any]
Wake = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Ref:
    """`kind` is the resource's name: configmaps, secrets, serviceaccounts."""

    kind: str
    namespace: str
    name: str


@dataclass(slots=True)
class _Watched:
    informer: Informer
    task: asyncio.Task[None]
    users: dict[str, Wake] = field(default_factory=dict)


class Objects:
    """The cache; `run()` owns the watches."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._watched: dict[Ref, _Watched] = {}
        self._used: dict[str, set[Ref]] = {}
        self._given: dict[Ref, str] = {}
        self._group: asyncio.TaskGroup | None = None
        self._open = asyncio.Event()

    async def run(self) -> None:
        """Own the watches until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._open.set()
            await asyncio.get_running_loop().create_future()

    async def get(self, ref: Ref) -> Object | None:
        """The object, or None when it does not exist."""
        watched = self._watched.get(ref)
        if watched is not None and watched.informer.is_synced:
            found = watched.informer.get(ref.namespace, ref.name)
            if found is not None:
                return found
        # A watch that shows nothing may only be late: a pod often follows its ConfigMap by a millisecond.
        try:
            found = await self._client.get(resources.get("", "v1", ref.kind), ref.name, ref.namespace)
        except StatusError as error:
            if error.code == 404:
                return None
            raise
        self._given[ref] = revision_of(found)
        return found

    async def runtime_class(self, name: str) -> Object | None:
        """Asked for each time: few pods name one, and it does not change."""
        try:
            return await self._client.get(resources.get("node.k8s.io", "v1", "runtimeclasses"), name)
        except StatusError as error:
            if error.code == 404:
                return None
            raise

    async def token(self, namespace: str, account: str, request: Object) -> Object:
        """A TokenRequest's answer for a service account."""
        body = {**request, "metadata": {"name": account, "namespace": namespace}}
        accounts = resources.get("", "v1", "serviceaccounts")
        return await self._client.create(accounts, body, namespace, subresource="token")

    async def use(self, user: str, refs: Iterable[Ref], wake: Wake) -> None:
        """From now on call `wake` when one of `refs` changes; replaces what `user` used before."""
        await self._open.wait()
        wanted = set(refs)
        for ref in self._used.get(user, set()) - wanted:
            self._drop(user, ref)
        for ref in wanted:
            self._watch(ref).users[user] = wake
        self._used[user] = wanted

    def forget(self, user: str) -> None:
        for ref in self._used.pop(user, set()):
            self._drop(user, ref)

    def _watch(self, ref: Ref) -> _Watched:
        watched = self._watched.get(ref)
        if watched is None:
            assert self._group is not None
            selector = f"metadata.name={ref.name}"
            resource = resources.get("", "v1", ref.kind)
            informer = Informer(self._client, resource, namespace=ref.namespace, field_selector=selector)
            task = self._group.create_task(informer.run(), name=f"watch {ref.kind} {ref.namespace}/{ref.name}")
            watched = self._watched[ref] = _Watched(informer, task)
            informer.on_event(lambda old, new: self._changed(ref, new))
        return watched

    def _changed(self, ref: Ref, new: Object | None) -> None:
        if new is not None and self._given.pop(ref, "") == revision_of(new):
            return  # the first list shows just what was read before
        watched = self._watched.get(ref)
        for wake in list(watched.users.values()) if watched is not None else ():
            wake()

    def _drop(self, user: str, ref: Ref) -> None:
        watched = self._watched.get(ref)
        if watched is None:
            return
        watched.users.pop(user, None)
        if not watched.users:
            watched.task.cancel()
            del self._watched[ref]
            self._given.pop(ref, None)
