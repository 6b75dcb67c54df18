"""
What the API says of the storage drivers of this node: the CSINode object, an annotation and labels of the Node.

Level-triggered: each sync compares all drivers with the objects and writes what differs.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tiphys.api import resources
from tiphys.api.errors import StatusError
from tiphys.client.client import Client

if TYPE_CHECKING:
    from tiphys.node.csi.driver import Driver

Object = dict[str, Any]

CSI_NODES = resources.get("storage.k8s.io", "v1", "csinodes")
NODES = resources.get("", "v1", "nodes")
NODE_IDS = "csi.volume.kubernetes.io/nodeid"
CONFLICTS_MAX = 5
RETRY_FIRST_SECONDS, RETRY_MAX_SECONDS = 0.5, 60.0

log = logging.getLogger(__name__)


class CsiNode:
    """`node` gives the Node object."""

    def __init__(self, client: Client, node_name: str, node: Callable[[], Mapping[str, Any]]) -> None:
        self._client = client
        self._name = node_name
        self._node = node
        self._turn = asyncio.Lock()

    async def begin(self) -> None:
        """The object is there, with the drivers that it had: they will register again. Tries until it works."""
        delay = RETRY_FIRST_SECONDS
        while True:
            try:
                async with self._turn:
                    if await self._current() is None:
                        await self._client.create(CSI_NODES, self._new([]))
                return
            except (StatusError, OSError) as error:
                log.info("CSINode is not there yet: %s", error)
            await asyncio.sleep(delay)
            delay = min(delay * 2, RETRY_MAX_SECONDS)

    async def add(self, driver: Driver) -> None:
        """The node first: volumes follow its labels once the driver is listed. StatusError."""
        async with self._turn:
            await self._annotate(driver.name, driver.node_id, driver.topology)
            await self._change(driver.name, entry(driver))

    async def remove(self, name: str) -> None:
        async with self._turn:
            await self._change(name, None)
            await self._annotate(name, None, {})

    async def _current(self) -> Object | None:
        try:
            return await self._client.get(CSI_NODES, self._name)
        except StatusError as error:
            if error.code == 404:
                return None
            raise

    async def _change(self, name: str, wanted: Object | None) -> None:
        for attempt in range(CONFLICTS_MAX):
            found = await self._current()
            before = (found or {}).get("spec", {}).get("drivers") or []
            drivers = merged(before, name, wanted)
            if found is not None and drivers == before:
                return
            try:
                if found is None:
                    await self._client.create(CSI_NODES, self._new(drivers))
                else:
                    await self._client.update(CSI_NODES, {**found, "spec": {**found["spec"], "drivers": drivers}})
                return
            except StatusError as error:
                if error.code != 409 or attempt == CONFLICTS_MAX - 1:
                    raise

    def _new(self, drivers: list[Object]) -> Object:
        uid = self._node()["metadata"].get("uid", "")
        owner = {"apiVersion": "v1", "kind": "Node", "name": self._name, "uid": uid}
        return {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "CSINode",
            "metadata": {"name": self._name, "ownerReferences": [owner]},
            "spec": {"drivers": drivers},
        }

    async def _annotate(self, name: str, node_id: str | None, labels: Mapping[str, str]) -> None:
        meta = (await self._client.get(NODES, self._name))["metadata"]
        before = json.loads((meta.get("annotations") or {}).get(NODE_IDS) or "{}")
        ids = {other: value for other, value in before.items() if other != name}
        ids |= {name: node_id} if node_id is not None else {}
        change: Object = {}
        if ids != before:
            change["annotations"] = {NODE_IDS: json.dumps(ids, separators=(",", ":"), sort_keys=True) if ids else None}
        if any((meta.get("labels") or {}).get(label) != value for label, value in labels.items()):
            change["labels"] = dict(labels)
        if change:
            await self._client.patch(NODES, ("", self._name), {"metadata": change})


# pure


def entry(driver: Driver) -> Object:
    """The driver as CSINode lists it."""
    found: Object = {"name": driver.name, "nodeID": driver.node_id, "topologyKeys": sorted(driver.topology) or None}
    if driver.volumes_max:
        found["allocatable"] = {"count": driver.volumes_max}
    return found


def merged(drivers: Iterable[Object], name: str, wanted: Object | None) -> list[Object]:
    """The list with one driver in its new form, or without it."""
    found, seen = [], False
    for each in drivers:
        if each["name"] != name:
            found.append(each)
        elif wanted is not None:
            found.append(wanted)
            seen = True
    return found if seen or wanted is None else [*found, wanted]
