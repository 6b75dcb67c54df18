"""
All volumes of a pod: set up side by side, kept up to date by watches, taken down with nothing left.

`prepare` is level-triggered: called again after a change it rewrites what differs and leaves the rest alone.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tiphys.node.csi.volumes import CsiVolumes, DeviceFailed, NotReady
from tiphys.node.environment import references as environment_references
from tiphys.node.objects import Objects, Ref
from tiphys.node.server.readings import FileSystem
from tiphys.node.settings import NodeSettings
from tiphys.node.volumes import config_map, downward, empty_dir, host_path, image, mounts, projected, secret
from tiphys.node.volumes.claims import Claims
from tiphys.node.volumes.context import Context, NotProcessed, Pod, Volume, VolumeProblem

_KINDS = {
    "configMap": config_map.prepare,
    "secret": secret.prepare,
    "downwardAPI": downward.prepare,
    "emptyDir": empty_dir.prepare,
    "hostPath": host_path.prepare,
    "image": image.prepare,
}
_REFERENCES = {
    "configMap": config_map.references,
    "secret": secret.references,
    "projected": projected.references,
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """Where each volume lies on the host, and when to call again (0.0: only after a change)."""

    paths: Mapping[str, str]
    due_at: float


class VolumesFailed(Exception):
    """Some volumes could not be set up: a message for each, worded as events are."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__("; ".join(messages))
        self.messages = messages


class Volumes:
    """The volumes of every pod on this node."""

    def __init__(self, objects: Objects, settings: NodeSettings, claims: Claims, csi: CsiVolumes) -> None:
        self._objects = objects
        self._settings = settings
        self._claims = claims
        self._csi = csi
        self._tokens = csi.tokens
        claims.plugins["csi"] = csi.show_claim

    def open(self) -> None:
        """Make the directories; memory volumes get a tmpfs unless they lie on one."""
        self._settings.pods_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
        memory = self._settings.memory_dir
        memory.mkdir(parents=True, exist_ok=True, mode=0o750)
        if self._settings.tmpfs_volumes and not mounts.is_mount(memory):
            mounts.mount_tmpfs(memory)
        self._claims.local.disks.open()

    def purge(self) -> None:
        """Unmount everything and remove every pod directory."""
        for root in (self._settings.pods_dir, self._settings.memory_dir):
            mounts.unmount_below(root)
            if root.exists():
                shutil.rmtree(root)
        self._claims.local.disks.close_all()

    async def prepare(self, context: Context, wake: Callable[[], None]) -> Prepared:
        """Set up or bring up to date; `wake` is called when a referenced object changes. VolumesFailed."""
        volumes = context.pod["spec"].get("volumes") or ()
        answers = await asyncio.gather(*(self._one(context, v) for v in volumes), return_exceptions=True)
        await self._objects.use(context.uid, references(context.pod), wake)
        messages, paths = [], {}
        for volume, answer in zip(volumes, answers, strict=True):
            if isinstance(answer, str):
                paths[volume["name"]] = answer
            elif isinstance(answer, NotReady) and not answer.is_told:
                self._csi.wait(context.uid, wake)
            elif isinstance(answer, NotProcessed | DeviceFailed):
                messages.append(str(answer))
            elif isinstance(answer, VolumeProblem | OSError):
                if isinstance(answer, NotReady):
                    self._csi.wait(context.uid, wake)
                messages.append(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {answer}')
            else:
                raise answer
        if len(paths) < len(volumes):
            raise VolumesFailed(messages)
        due = [at for at in (self._tokens.renew_at(context.uid), self._csi.due_at(context.uid)) if at]
        return Prepared(paths, min(due, default=0.0))

    async def _one(self, context: Context, volume: Volume) -> str:
        if volume.get("projected"):
            return await projected.prepare(context, volume, self._tokens)
        if volume.get("persistentVolumeClaim") or volume.get("ephemeral"):
            return await self._claims.prepare(context, volume)
        if volume.get("csi"):
            return await self._csi.show_inline(context, volume)
        for kind, prepare in _KINDS.items():
            if volume.get(kind) is not None:
                return await prepare(context, volume)
        kinds = ", ".join(sorted(set(volume) - {"name"}))
        raise VolumeProblem(f"volumes of kind {kinds} are not supported on this node")

    async def release(self, uid: str) -> None:
        """Unmount and delete the volumes of a pod. Idempotent."""
        self._objects.forget(uid)
        self._tokens.forget(uid)
        await asyncio.to_thread(mounts.unmount_below, self._settings.pods_dir / uid / "volume-subpaths")
        await self._csi.release(uid)
        # What a pod left behind may be large; nobody else shall wait for it.
        await asyncio.to_thread(self._clear, uid)
        await self._claims.release(uid)

    def _clear(self, uid: str) -> None:
        pod_dir = self._settings.pods_dir / uid
        memory = self._settings.memory_dir / uid
        for root in (pod_dir, memory):
            # A bind mount that is still there would be emptied by rmtree: OSError ends it here.
            mounts.unmount_below(root)
        for root in (pod_dir / "volumes", pod_dir / "volumeDevices", pod_dir / "volume-subpaths", memory):
            if root.exists():
                shutil.rmtree(root)

    async def measured(self, uid: str) -> Mapping[str, FileSystem]:
        """How full volumes are whose drivers know it better than the file system that shows, by path."""
        return await self._csi.measured(uid)

    def directories(self) -> set[str]:
        """The uids that have something on disk or in memory."""
        roots = (self._settings.pods_dir, self._settings.memory_dir)
        return {entry.name for root in roots if root.exists() for entry in root.iterdir()}


def references(pod: Pod) -> set[Ref]:
    """Everything a pod's volumes and environments refer to."""
    found = environment_references(pod)
    for volume in pod["spec"].get("volumes") or ():
        for kind, of in _REFERENCES.items():
            if volume.get(kind):
                found |= of(pod["metadata"]["namespace"], volume)
    return found


def follows_metadata(pod: Pod) -> bool:
    """Whether a change of labels or annotations changes a volume."""
    for volume in pod["spec"].get("volumes") or ():
        parts = (volume.get("projected") or {}).get("sources") or ()
        if volume.get("downwardAPI") or any(part.get("downwardAPI") for part in parts):
            return True
    return False
