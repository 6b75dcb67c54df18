"""Read the configuration of workloads that restart on its change, and perform their plans."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from tiphys.api import resources
from tiphys.api.errors import StatusError
from tiphys.api.objects import annotations_of, key_of, name_of, namespace_of
from tiphys.api.own_annotations import CONFIGURATION, restarts_on_change
from tiphys.api.references import CONFIG_MAPS, SECRETS, Reference
from tiphys.api.resources import Resource
from tiphys.client.metadata import Metadata
from tiphys.controllers.restart.plan import digest, plan, references
from tiphys.reconcile.commands import Performed
from tiphys.reconcile.loop import Key, KeysOf, Loop
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

FOLLOWS = "follows"
WORKLOADS = tuple(resources.get("apps", "v1", name) for name in ("deployments", "statefulsets", "daemonsets"))
CONFIGURATIONS = {name: resources.get("", "v1", name) for name in (CONFIG_MAPS, SECRETS)}


class RestartController:
    """Writes the note of the configuration on workloads with `tiphys.io/restart-on-change`, and in their templates."""

    def __init__(self, tools: Tools, metadata: Metadata) -> None:
        self._followers = [_Follower(tools, metadata, resource) for resource in WORKLOADS]

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for follower in self._followers:
                group.create_task(follower.run())


class _Follower:
    """
    Of one kind of workload. What changes is known from caches of metadata, which hold no contents; the few objects that
    a changed workload refers to are read when it has to be decided.
    """

    def __init__(self, tools: Tools, metadata: Metadata, resource: Resource) -> None:
        self._tools, self._resource = tools, resource
        self._workloads = tools.informers.of(resource)
        self._workloads.add_index(FOLLOWS, _followed)
        sources: dict[Any, KeysOf] = {self._workloads: self._keys_of_workload}
        sources |= {metadata.informers[kind]: self._keys_of(name) for name, kind in CONFIGURATIONS.items()}
        self._loop = Loop(f"restart-{resource.name}-controller", self._reconcile, sources)

    async def run(self) -> None:
        await self._loop.run()

    def _keys_of_workload(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        """A change of its status concerns nobody here."""
        if new is not None and restarts_on_change(annotations_of(new)) and (old is None or _shown(old) != _shown(new)):
            yield key_of(new)

    def _keys_of(self, plural: str) -> KeysOf:
        def keys(old: Object | None, new: Object | None) -> Iterable[Key]:
            if new is not None:
                where = f"{namespace_of(new)}/{plural}/{name_of(new)}"
                yield from (key_of(workload) for workload in self._workloads.by(FOLLOWS, where))

        return keys

    async def _reconcile(self, key: Key) -> Performed | None:
        workload = self._workloads.get(*key)
        if workload is None or not restarts_on_change(annotations_of(workload)):
            return None
        digests = {}
        for reference in references(workload):
            found = await self._read(key[0], reference)
            if found is not None:
                digests[reference] = digest(found)
        return await self._tools.perform(plan(self._resource, workload, digests))

    async def _read(self, namespace: str, reference: Reference) -> Object | None:
        plural, name = reference
        try:
            return await self._tools.client.get(CONFIGURATIONS[plural], name, namespace)
        except StatusError as error:
            if error.code == 404:
                return None
            raise


def _shown(workload: Object) -> tuple[Any, ...]:
    annotations = annotations_of(workload)
    return restarts_on_change(annotations), annotations.get(CONFIGURATION), workload["spec"]["template"]


def _followed(workload: Object) -> Iterable[str]:
    """Files a workload under all that it follows."""
    if restarts_on_change(annotations_of(workload)):
        yield from (f"{namespace_of(workload)}/{plural}/{name}" for plural, name in references(workload))
