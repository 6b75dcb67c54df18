"""Storage drivers that register: asked what they are, listed in the API, handed to their volumes."""

from __future__ import annotations

import logging
import re

from tiphys.api.errors import StatusError
from tiphys.node.csi.csi_node import CsiNode
from tiphys.node.csi.driver import described
from tiphys.node.csi.volumes import CsiVolumes
from tiphys.node.plugins.registrar import Info, Refused
from tiphys.node.settings import NodeSettings

KIND = "CSIPlugin"
log = logging.getLogger(__name__)

_VERSION = re.compile(r"v?1(\.\d+)*")


class DriverTaker:
    """See `plugins.registrar.Taker`."""

    def __init__(self, volumes: CsiVolumes, csi_node: CsiNode, settings: NodeSettings) -> None:
        self._volumes = volumes
        self._csi_node = csi_node
        self._settings = settings

    async def add(self, info: Info) -> None:
        if not any(_VERSION.fullmatch(version) for version in info.versions):
            told = ", ".join(info.versions) or "none"
            raise Refused(f"CSI driver {info.name} speaks versions {told}, and this node speaks 1")
        driver = await described(info.name, str(self._settings.real(info.endpoint)))
        if not driver.node_id:
            raise Refused(f"CSI driver {info.name} gave no node ID")
        try:
            await self._csi_node.add(driver)
        except (StatusError, OSError) as error:
            raise Refused(f"error updating CSINode object with CSI driver node info: {error}") from error
        self._volumes.add(driver)

    async def remove(self, info: Info) -> None:
        self._volumes.drivers.pop(info.name, None)
        try:
            await self._csi_node.remove(info.name)
        except (StatusError, OSError) as error:
            # It is listed until it comes again: nothing new is mounted meanwhile.
            log.warning("CSINode still lists driver %s: %s", info.name, error)
