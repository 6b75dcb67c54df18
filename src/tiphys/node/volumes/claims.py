"""
Volumes of pods that are claims: the claim leads to a PersistentVolume, and its source says how it is shown to the pod.

Each check has the kubelet's text. What cannot be shown here (NFS and the like) is refused with the words that
Kubernetes has for a volume that no plugin knows.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiphys.api import storage
from tiphys.api.errors import StatusError
from tiphys.api.objects import is_deleting, name_of, uid_of
from tiphys.client.client import Client
from tiphys.node.volumes import host_path, mounts
from tiphys.node.volumes.context import Context, NotProcessed, Volume, VolumeProblem
from tiphys.node.volumes.local_volumes import CLAIMS, VOLUMES, LocalVolumes, giver

Object = dict[str, Any]

SINGLE_POD = "ReadWriteOncePod"


@dataclass(frozen=True, slots=True)
class Bound:
    """A claim and the volume that it is bound to; `read_only` is what the pod says of it."""

    claim: Object
    volume: Object
    read_only: bool = False

    @property
    def is_block(self) -> bool:
        return storage.mode_of(self.volume) == "Block"


# Shows a bound volume to a pod: the path of a directory or a device. VolumeProblem or OSError.
Plugin = Callable[[Context, Volume, Bound], Awaitable[str]]


class Claims:
    """`plugins` show the sources that they are named after (`csi`); `node` gives the Node object."""

    def __init__(self, client: Client, local: LocalVolumes, node: Callable[[], Mapping[str, Any]]) -> None:
        self.local = local
        self._client = client
        self._node = node
        self.plugins: dict[str, Plugin] = {"local": self._show_local, "hostPath": _show_host_path}
        # The pods that use each volume which only one may use, by the volume's uid.
        self._users: dict[str, set[str]] = {}

    async def prepare(self, context: Context, volume: Volume) -> str:
        """Set up one volume of a pod; where it is."""
        try:
            bound = await self._resolve(context, volume)
        except StatusError as error:
            raise NotProcessed(volume["name"], str(error)) from error
        _check_use(context, volume["name"], bound)
        plugin = next((show for kind, show in self.plugins.items() if bound.volume["spec"].get(kind)), None)
        if plugin is None:
            what = f'failed to get Plugin from volumeSpec for volume "{name_of(bound.volume)}"'
            raise NotProcessed(volume["name"], f"{what} err=no volume plugin matched")
        if not storage.reaches(bound.volume, self._node()):
            raise VolumeProblem("no matching NodeSelectorTerms")
        self._take(context, bound)
        return await plugin(context, volume, bound)

    async def release(self, uid: str) -> None:
        """The pod has let go of everything."""
        for users in self._users.values():
            users.discard(uid)
        self._users = {volume: users for volume, users in self._users.items() if users}
        await self.local.released()

    def _take(self, context: Context, bound: Bound) -> None:
        if SINGLE_POD not in (bound.claim["spec"].get("accessModes") or ()):
            return
        users = self._users.setdefault(uid_of(bound.volume), set())
        if users - {context.uid}:
            raise VolumeProblem("volume uses the ReadWriteOncePod access mode and is already in use by another pod")
        users.add(context.uid)

    # from the pod to the volume

    async def _resolve(self, context: Context, volume: Volume) -> Bound:
        source = volume.get("persistentVolumeClaim") or {}
        name = source.get("claimName") or storage.ephemeral_claim(context.pod, volume)
        where = f"error processing PVC {context.namespace}/{name}"
        claim = await self._fetch(
            CLAIMS, name, context.namespace, volume, f"{where}: failed to fetch PVC from API server"
        )
        if volume.get("ephemeral") is not None and storage.not_owner(context.pod, claim):
            raise NotProcessed(volume["name"], f"{where}: {storage.not_owner(context.pod, claim)}")
        if is_deleting(claim) and not _is_mounted(context, volume):
            raise NotProcessed(volume["name"], f"{where}: PVC is being deleted")
        if not storage.is_bound(claim):
            raise NotProcessed(volume["name"], f"{where}: PVC is not bound")
        held = claim["spec"]["volumeName"]
        found = await self._fetch(VOLUMES, held, "", volume, f"{where}: failed to fetch PV {held} from API server")
        if not storage.is_of(found, claim):
            ref = (found["spec"].get("claimRef") or {}).get("uid", "")
            text = f'its pv.Spec.ClaimRef.UID "{ref}" does not point to claim.UID "{uid_of(claim)}"'
            raise NotProcessed(volume["name"], f'{where}: found PV object "{held}" but {text}')
        return Bound(claim, found, bool(source.get("readOnly")))

    async def _fetch(self, resource: Any, name: str, namespace: str, volume: Volume, what: str) -> Object:
        try:
            return await self._client.get(resource, name, namespace)
        except StatusError as error:
            raise NotProcessed(volume["name"], f"{what}: {error}") from error

    # from the volume to the pod

    async def _show_local(self, context: Context, volume: Volume, bound: Bound) -> str:
        target = target_of(context, volume, bound, "local-volume")
        if storage.is_local_path(bound.volume):
            await self.local.bind(context, bound.volume, bound.claim, target, read_only=bound.read_only)
            return str(target)
        path = Path(bound.volume["spec"]["local"]["path"])
        if bound.is_block:
            _check_block_device(path)
            return str(path)
        if not path.is_dir():
            why = "is not a directory" if path.exists() else "does not exist"
            raise VolumeProblem(f'path "{path}" {why}')
        if not mounts.is_mount(target):
            give = giver(context, read_only=bound.read_only)
            if give is not None:
                await asyncio.to_thread(give, path)
            target.mkdir(parents=True, exist_ok=True)
            mounts.bind(str(path), target)
        return str(target)


async def _show_host_path(context: Context, volume: Volume, bound: Bound) -> str:
    return await host_path.prepare(context, {"name": volume["name"], "hostPath": bound.volume["spec"]["hostPath"]})


def target_of(context: Context, volume: Volume, bound: Bound, plugin: str) -> Path:
    """Where a pod's own view of the volume is: below its directory, so that it goes with the pod."""
    if bound.is_block:
        return context.device(plugin, volume["name"])
    return context.directory(plugin, volume["name"])


def _is_mounted(context: Context, volume: Volume) -> bool:
    """A pod that has it already keeps it, whatever becomes of the claim."""
    own = context.settings.pods_dir / context.uid
    return any(point.name == volume["name"] for point in mounts.below(own))


def _check_block_device(path: Path) -> None:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise VolumeProblem(f'path "{path}" does not exist') from error
    if not stat.S_ISBLK(mode):
        raise VolumeProblem(f'path "{path}" is not a block device')


def _check_use(context: Context, name: str, bound: Bound) -> None:
    """A file system is mounted, a block device is not."""
    wrong = "volumeMounts" if bound.is_block else "volumeDevices"
    spec = context.pod["spec"]
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    if any(use["name"] == name for container in containers for use in container.get(wrong) or ()):
        text = f"volume {name} has volumeMode {storage.mode_of(bound.volume)}, but is specified in {wrong}"
        raise NotProcessed(name, text)
