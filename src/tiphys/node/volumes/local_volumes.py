"""
The node's side of `tiphys.io/local-path`: shows volumes to pods, grows them, removes what is deleted.

The volumes whose data lie here are labelled with the node's name; that is what a node may watch. A volume with our
finalizer that is being deleted waits for us: the data go first, then the finalizer, so that they are neither lost while
the object is there nor left behind when it is gone.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tiphys.aio.queue import Backoff, KeyQueue
from tiphys.api import resources, storage
from tiphys.api.errors import StatusError
from tiphys.api.objects import is_deleting, name_of
from tiphys.client.client import Client
from tiphys.client.events import Recorder
from tiphys.client.informer import Informer
from tiphys.node.settings import NodeSettings
from tiphys.node.volumes import ownership
from tiphys.node.volumes.context import Context
from tiphys.node.volumes.local_disks import Disk, InUse, LocalDisks

Object = dict[str, Any]

VOLUMES = resources.get("", "v1", "persistentvolumes")
CLAIMS = resources.get("", "v1", "persistentvolumeclaims")
# Conditions of a claim that end when its file system has grown.
RESIZING = ("Resizing", "FileSystemResizePending")

log = logging.getLogger(__name__)


class LocalVolumes:
    """`run()` works until cancelled."""

    def __init__(self, client: Client, recorder: Recorder, settings: NodeSettings) -> None:
        self.disks = LocalDisks(settings.volumes_dir, settings.pods_dir)
        self._client = client
        self._recorder = recorder
        mine = f"{storage.NODE_LABEL}={settings.node_name}"
        self._volumes = Informer(client, VOLUMES, label_selector=mine)
        self._volumes.on_event(self._changed)
        self._queue: KeyQueue[str] = KeyQueue(Backoff(0.1, 30.0))

    async def run(self) -> None:
        """Follow the volumes of this node."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._volumes.run(), name="volumes of the node")
                group.create_task(self._work(), name="local volumes")
        finally:
            self._queue.close()

    async def bind(self, context: Context, volume: Object, claim: Object, target: Path, *, read_only: bool) -> None:
        """Show the volume at `target`, made and grown as needed and given to the pod's group."""
        disk = disk_of(volume)
        await asyncio.to_thread(self.disks.bind, disk, target, giver(context, read_only=read_only))
        if grown_status(claim, volume) is not None and await asyncio.to_thread(self.disks.grow, disk):
            await self._tell_size(volume, claim)

    async def released(self) -> None:
        """A pod has let go of its volumes: what nobody uses is unmounted, what was waiting for that is removed."""
        await asyncio.to_thread(self.disks.close_unused)
        for volume in self._volumes.list():
            if is_deleting(volume):
                self._queue.add(name_of(volume))

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._queue.add(name_of(new))

    async def _work(self) -> None:
        while True:
            name = await self._queue.get()
            try:
                await self._bring_up_to_date(name)
                self._queue.forget(name)
            except InUse as used:
                log.info("the data of a deleted volume stay for a while: %s", used)
                self._queue.retry(name)
            except (StatusError, OSError) as error:
                delay = self._queue.retry(name)
                log.warning("volume %s (again in %.1f s): %s", name, delay, error)
            finally:
                self._queue.done(name)

    async def _bring_up_to_date(self, name: str) -> None:
        volume = self._volumes.get("", name)
        if volume is None:
            return
        if not is_deleting(volume):
            await self._grow(volume)
        elif awaits_removal(volume):
            await self._remove(volume)

    async def _grow(self, volume: Object) -> None:
        """Of a volume that is in use; any other one is grown when it is next mounted."""
        if not await asyncio.to_thread(self.disks.grow, disk_of(volume)):
            return
        ref = volume["spec"].get("claimRef") or {}
        try:
            claim = await self._client.get(CLAIMS, str(ref.get("name")), str(ref.get("namespace")))
        except StatusError as error:
            if error.code not in (403, 404):
                raise
            return  # no pod of this node uses it: whoever mounts it next will tell
        await self._tell_size(volume, claim)

    async def _remove(self, volume: Object) -> None:
        if volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
            await asyncio.to_thread(self.disks.remove, name_of(volume))
            log.info("the data of volume %s are removed", name_of(volume))
        left = [name for name in volume["metadata"]["finalizers"] if name != storage.LOCAL_PATH]
        meta = {"resourceVersion": volume["metadata"]["resourceVersion"], "finalizers": left}
        await self._client.patch(VOLUMES, ("", name_of(volume)), {"metadata": meta})

    async def _tell_size(self, volume: Object, claim: Object) -> None:
        """The claim's capacity follows what can be used now."""
        change = grown_status(claim, volume)
        if change is None or not storage.is_of(volume, claim):
            return
        meta = {"resourceVersion": claim["metadata"]["resourceVersion"]}
        key = claim["metadata"]["namespace"], name_of(claim)
        await self._client.patch(CLAIMS, key, {"metadata": meta, "status": change}, subresource="status")
        text = f'MountVolume.NodeExpandVolume succeeded for volume "{name_of(volume)}"'
        self._recorder.normal(claim, "FileSystemResizeSuccessful", text)


# pure


def disk_of(volume: Mapping[str, Any]) -> Disk:
    options = volume["spec"].get("mountOptions") or ()
    return Disk(name_of(volume), storage.capacity_bytes(volume), storage.mode_of(volume) == "Block", tuple(options))


def giver(context: Context, *, read_only: bool) -> functools.partial[None] | None:
    """What gives a directory to the pod's fsGroup; None when it has none."""
    if context.fs_group is None:
        return None
    policy = (context.pod["spec"].get("securityContext") or {}).get("fsGroupChangePolicy")
    return functools.partial(
        ownership.give, group=context.fs_group, only_on_mismatch=policy == "OnRootMismatch", read_only=read_only
    )


def awaits_removal(volume: Mapping[str, Any]) -> bool:
    """Whether a volume that is being deleted waits for nobody but us, as far as we must know."""
    finalizers = volume["metadata"].get("finalizers") or ()
    return storage.LOCAL_PATH in finalizers and storage.VOLUME_PROTECTION not in finalizers


def grown_status(claim: Mapping[str, Any], volume: Mapping[str, Any]) -> Object | None:
    """The change of the claim's status when its volume has become larger; None when it says so already."""
    status = claim.get("status") or {}
    capacity = volume["spec"]["capacity"]["storage"]
    conditions = status.get("conditions") or ()
    left = [condition for condition in conditions if condition["type"] not in RESIZING]
    if status.get("phase") != "Bound" or not status.get("capacity"):
        return None  # the binder writes the first one
    if status["capacity"].get("storage") == capacity and len(left) == len(conditions):
        return None
    # Null takes a field away.
    return {"capacity": {"storage": capacity}, "conditions": left or None, "allocatedResourceStatuses": None}
