"""Gather what is left in a namespace and perform its plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.api.objects import is_deleting, name_of, namespace_of, uid_of
from tiphys.api.resources import Resource
from tiphys.client.metadata import Metadata
from tiphys.controllers.namespace.plan import NAMESPACES, Remaining, plan
from tiphys.reconcile.commands import Performed, Update
from tiphys.reconcile.loop import Key, Loop, own_key
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]


class NamespaceController:
    """Empties namespaces that are being deleted."""

    def __init__(self, tools: Tools, metadata: Metadata) -> None:
        self._tools = tools
        self._namespaces = tools.informers.of(NAMESPACES)
        self._contents = [informer for resource, informer in metadata.informers.items() if resource.namespaced]
        # An object that goes, or gets another finalizer, may be what its namespace waited for.
        sources = dict.fromkeys(self._contents, self._keys_of_content)
        self._loop = Loop("namespace-controller", self._reconcile, {**sources, self._namespaces: own_key})

    async def run(self) -> None:
        await self._loop.run()

    def _keys_of_content(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        obj = new if new is not None else old
        if obj is None:
            return
        namespace = self._namespaces.get("", namespace_of(obj))
        if namespace is not None and is_deleting(namespace):
            yield "", name_of(namespace)

    async def _reconcile(self, key: Key) -> Performed | None:
        namespace = self._namespaces.get(*key)
        if namespace is None or not is_deleting(namespace):
            return None
        left = [
            _remaining(informer.resource, obj) for informer in self._contents for obj in informer.list(key[1])
        ]  # fmt: skip
        commands = plan(namespace, left, self._tools.now())
        if any(isinstance(command, Update) and command.subresource == "finalize" for command in commands):
            # Caches may lag behind a creation that was admitted just before: the last word is the server's.
            late = [item async for item in self._listed(key[1])]
            commands = plan(namespace, late, self._tools.now())
        return await self._tools.perform(commands)

    async def _listed(self, namespace: str) -> Any:
        lean = self._tools.client.metadata_only()
        for informer in self._contents:
            for obj in (await lean.list(informer.resource, namespace)).items:
                yield _remaining(informer.resource, obj)


def _remaining(resource: Resource, obj: Object) -> Remaining:
    finalizers = tuple(obj["metadata"].get("finalizers") or ())
    return Remaining(resource, name_of(obj), uid_of(obj), is_deleting(obj), finalizers)
