"""
Caches of every kind of object, for parts that care about names, owners and finalizers only.

Where the process has a full informer for a kind anyway it is shared; all other kinds are watched as
PartialObjectMetadata, so that ten thousand ConfigMaps cost their metadata and not their contents.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from tiphys.api import resources
from tiphys.api.resources import Resource
from tiphys.client.client import Client
from tiphys.client.informer import Informer, Informers

# Events come and go by themselves, and nobody owns them.
IGNORED = frozenset((("", "events"), ("events.k8s.io", "events")))


def collectable() -> Sequence[Resource]:
    """Every kind that can be listed, watched and deleted, once each, in its preferred version."""
    found: dict[tuple[str, str], Resource] = {}
    for resource in resources.builtin():
        if {"list", "watch", "delete"} <= set(resource.verbs) and (resource.group, resource.name) not in IGNORED:
            held = found.get((resource.group, resource.name))
            if held is None or (resource.preferred and not held.preferred):
                found[(resource.group, resource.name)] = resource
    return tuple(found.values())


class Metadata:
    """`informers` are the full ones; `shared` names the resources to take from there."""

    def __init__(self, client: Client, informers: Informers, shared: Iterable[Resource]) -> None:
        lean = client.metadata_only()
        taken = set(shared)
        self._own = [Informer(lean, resource) for resource in collectable() if resource not in taken]
        full = [informers.of(resource) for resource in collectable() if resource in taken]
        self.informers: dict[Resource, Informer] = {i.resource: i for i in (*full, *self._own)}

    async def run(self) -> None:
        """Keep the caches that are not shared, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for informer in self._own:
                group.create_task(informer.run(), name=f"metadata of {informer.resource.name}")

    async def synced(self) -> None:
        for informer in self.informers.values():
            await informer.synced()
