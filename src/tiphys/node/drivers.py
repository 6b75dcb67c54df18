"""
Programs of others that this node works with: storage drivers, and device plugins that show themselves by a socket.

This file only puts them together: `plugins/` finds them, `csi/` and `devices/` know what they are for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from tiphys.api.errors import StatusError
from tiphys.client.client import Client
from tiphys.node.csi.csi_node import CsiNode
from tiphys.node.csi.volumes import CsiVolumes
from tiphys.node.devices.devices import Devices
from tiphys.node.plugins.registry import PluginRegistry
from tiphys.node.settings import NodeSettings
from tiphys.node.volumes.context import VolumeProblem

if TYPE_CHECKING:
    from tiphys.node.plugins.registrar import Taker

Object = dict[str, Any]

log = logging.getLogger(__name__)


class Drivers:
    """`run()` until cancelled. `node` gives the Node object, `leftovers` clears what is left of pods that are gone."""

    def __init__(self, client: Client, volumes: CsiVolumes, devices: Devices, settings: NodeSettings) -> None:
        self.node: Callable[[], Mapping[str, Any]] = dict
        self.leftovers: Callable[[], Awaitable[None]] = _nothing
        self._volumes = volumes
        self._devices = devices
        self._settings = settings
        self._csi_node = CsiNode(client, settings.node_name, lambda: self.node())
        self._registry = PluginRegistry(settings.plugins_registry, self._takers)
        self._kinds: Mapping[str, Taker] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._volumes.on_driver = self._driver_is_there
            group.create_task(self._csi_node.begin(), name="CSINode")
            group.create_task(self._registry.run(), name="plugin registry")

    def observe(self, old: Object | None, new: Object | None) -> None:
        """Our Node has changed: a volume may have been attached."""
        before, now = ((node or {}).get("status", {}).get("volumesAttached") for node in (old, new))
        if before != now:
            self._volumes.wake()

    def _takers(self) -> Mapping[str, Taker]:
        """Made when the first program is there."""
        if not self._kinds:
            from tiphys.node.csi import taker as drivers
            from tiphys.node.devices import taker as devices

            self._kinds = {
                drivers.KIND: drivers.DriverTaker(self._volumes, self._csi_node, self._settings),
                devices.KIND: devices.DeviceTaker(self._devices, self._settings),
            }
        return self._kinds

    def _driver_is_there(self, name: str) -> None:
        assert self._group is not None
        self._group.create_task(self._undo(name), name=f"leftovers of {name}")

    async def _undo(self, driver: str) -> None:
        await self.leftovers()
        try:
            await self._volumes.settle(driver)
        except (VolumeProblem, StatusError, OSError) as error:
            log.warning("what driver %s has left cannot be undone yet: %s", driver, error)


async def _nothing() -> None:
    return
