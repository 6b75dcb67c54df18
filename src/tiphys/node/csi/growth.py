"""
Volumes that have become larger: their driver is told to grow the file system, and the claim says so afterwards.

A node hears of no change of claims and volumes that are not its own (it may only read those of its pods): whoever
prepares a volume compares, and does so again from time to time where the driver can grow volumes that are in use.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tiphys.client.client import Client
from tiphys.client.events import Recorder
from tiphys.node.csi import abilities, request
from tiphys.node.csi.request import Wanted
from tiphys.node.objects import Ref
from tiphys.node.settings import NodeSettings
from tiphys.node.volumes.context import VolumeProblem
from tiphys.node.volumes.local_volumes import CLAIMS, grown_status

if TYPE_CHECKING:
    from tiphys.node.csi.driver import Driver
    from tiphys.node.volumes.claims import Bound

Secret = Callable[[Ref | None, str], Awaitable[dict[str, str]]]


class Growth:
    """`secret` gives the data of a Secret."""

    def __init__(self, client: Client, recorder: Recorder, settings: NodeSettings, secret: Secret) -> None:
        self._client = client
        self._recorder = recorder
        self._settings = settings
        self._secret = secret

    async def grow(self, driver: Driver, wanted: Wanted, bound: Bound, path: Path) -> None:
        """Nothing to do where the claim has what the volume has. VolumeProblem, StatusError."""
        from tiphys.wire.grpc import RpcError

        change = grown_status(bound.claim, bound.volume)
        if change is None or wanted.read_only:
            return
        if driver.can(abilities.CAN_EXPAND):
            asked = {
                "volume_id": wanted.handle,
                "volume_path": self._settings.shown(path),
                "capacity_range": {"required_bytes": wanted.capacity_bytes},
                "volume_capability": request.capability(wanted, driver.capabilities, None),
                "secrets": await self._secret(wanted.expand_secret, "NodeExpandSecretRef"),
            }
            if driver.can(abilities.CAN_STAGE):
                staging = request.staging_path(self._settings.csi_dir, wanted)
                asked["staging_target_path"] = self._settings.shown(staging)
            try:
                await driver.expand(asked)
            except RpcError as error:
                text = f'MountVolume.NodeExpandVolume failed for volume "{wanted.name}": {error}'
                self._recorder.warning(bound.claim, "VolumeResizeFailed", text)
                raise VolumeProblem(text) from error
        meta = bound.claim["metadata"]
        patch = {"metadata": {"resourceVersion": meta["resourceVersion"]}, "status": change}
        await self._client.patch(CLAIMS, (meta["namespace"], meta["name"]), patch, subresource="status")
        text = f'MountVolume.NodeExpandVolume succeeded for volume "{wanted.name}"'
        self._recorder.normal(bound.claim, "FileSystemResizeSuccessful", text)
