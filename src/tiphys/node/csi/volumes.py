"""
Volumes of storage drivers, for pods: staged once for the node, published for each pod, and undone in reverse.

A driver is a program that may come late, go away and come again. What waits for one is woken when it registers; what
it could not undo is undone then. Every step is asked for again after a crash: drivers must bear that, and records on
disk (`records.py`) tell what may have been done.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from tiphys.aio.clock import Clock
from tiphys.api import resources
from tiphys.api.errors import StatusError
from tiphys.client.client import Client
from tiphys.client.events import Recorder
from tiphys.node.csi import abilities, records, request
from tiphys.node.csi.growth import Growth
from tiphys.node.csi.records import Record
from tiphys.node.csi.request import Wanted
from tiphys.node.csi.stats import Stats
from tiphys.node.objects import Objects, Ref
from tiphys.node.server.readings import FileSystem
from tiphys.node.settings import NodeSettings
from tiphys.node.volumes import mounts, ownership
from tiphys.node.volumes.context import Context, Volume, VolumeProblem
from tiphys.node.volumes.tokens import Tokens

if TYPE_CHECKING:
    from tiphys.node.csi.driver import Driver
    from tiphys.node.volumes.claims import Bound

Object = dict[str, Any]
Wake = Callable[[], None]

CSI_DRIVERS = resources.get("storage.k8s.io", "v1", "csidrivers")
ATTACHMENTS = resources.get("storage.k8s.io", "v1", "volumeattachments")
# Drivers that want to be asked again and again are asked as often as the kubelet looks at a pod, and as often is seen
# whether a volume has become larger.
AGAIN_SECONDS = 90.0

log = logging.getLogger(__name__)


class NotReady(VolumeProblem):
    """What a volume needs will come: its driver, or its attachment to this node, of which nobody is told yet."""

    def __init__(self, text: str, *, is_told: bool) -> None:
        super().__init__(text)
        self.is_told = is_told


class DeviceFailed(VolumeProblem):
    """The volume cannot be set up for the node as a whole."""

    def __init__(self, name: str, error: object) -> None:
        super().__init__(f'MountVolume.MountDevice failed for volume "{name}" : {error}')


@dataclass(frozen=True, slots=True)
class _SetUp:
    """One volume that is being shown: `described` is the CSIDriver object, `attached` what attaching gave."""

    driver: Driver
    wanted: Wanted
    context: Context
    described: Object | None
    attached: Mapping[str, str] | None

    @property
    def key(self) -> tuple[str, str]:
        return self.wanted.driver, self.wanted.handle

    @property
    def says(self) -> Mapping[str, Any]:
        return (self.described or {}).get("spec") or {}

    @property
    def capability(self) -> Object:
        group = None if self.says.get("fsGroupPolicy") == "None" else self.context.fs_group
        return request.capability(self.wanted, self.driver.capabilities, group)


class CsiVolumes:
    """
    `on_change` is called when there are other volumes in use than before, `on_driver` with the name of a driver that is
    there now: what it has left can be undone.
    """

    def __init__(
        self, client: Client, objects: Objects, recorder: Recorder, settings: NodeSettings, now: Clock
    ) -> None:
        self.drivers: dict[str, Driver] = {}
        self.tokens = Tokens()
        self.on_change: Wake = lambda: None
        self.on_driver: Callable[[str], None] = lambda name: None
        self._growth = Growth(client, recorder, settings, self._secret)
        self._client = client
        self._objects = objects
        self._settings = settings
        self._now = now
        self._stats = Stats(now)
        self._turns: weakref.WeakValueDictionary[tuple[str, str], asyncio.Lock] = weakref.WeakValueDictionary()
        self._staged: set[tuple[str, str]] = set()
        self._published: dict[Path, float] = {}
        self._waiting: dict[str, Wake] = {}

    # drivers

    def add(self, driver: Driver) -> None:
        """It is there: whoever waited tries again."""
        self.drivers[driver.name] = driver
        self.wake()
        self.on_driver(driver.name)

    def wake(self) -> None:
        """A driver or an attachment may have come."""
        waiting, self._waiting = self._waiting, {}
        for wake in waiting.values():
            wake()

    def wait(self, uid: str, wake: Wake) -> None:
        self._waiting[uid] = wake

    def in_use(self) -> list[str]:
        """The attached volumes that are in use here, as the node's status names them."""
        held = {record.key for record in records.of_pods(self._settings.pods_dir).values() if record.attachable}
        return sorted(f"kubernetes.io/csi/{driver}^{handle}" for driver, handle in held)

    async def measured(self, uid: str) -> dict[str, FileSystem]:
        """How full a pod's volumes are, by path, where their drivers say."""
        found = {}
        for record in records.of_pod(self._settings.pods_dir / uid).values() if self.drivers else ():
            driver = self.drivers.get(record.driver)
            told = await self._stats.of(driver, record) if driver is not None else None
            if told is not None:
                found[str(self._settings.real(record.path))] = told
        return found

    # showing

    async def show_inline(self, context: Context, volume: Volume) -> str:
        """A volume that lives as long as its pod; the path of what the driver mounts. VolumeProblem."""
        return await self.show(context, request.of_inline(context, volume))

    async def show_claim(self, context: Context, volume: Volume, bound: Bound) -> str:
        """A volume that a claim is bound to; it grows to what the claim was given. VolumeProblem."""
        wanted = request.of_volume(bound.volume, read_only=bound.read_only)
        path = await self.show(context, wanted)
        driver = self._driver(wanted)
        await self._growth.grow(driver, wanted, bound, Path(path))
        if driver.can(abilities.CAN_EXPAND):
            self._published[Path(path)] = self._now()
        return path

    async def show(self, context: Context, wanted: Wanted) -> str:
        driver = self._driver(wanted)
        described = await self._described(wanted.driver)
        request.check_mode(wanted, described)
        target = request.target_path(self._settings.csi_dir, context, wanted)
        async with self._turn(wanted.driver, wanted.handle):
            shown_at = self._published.get(target)
            is_shown = shown_at is not None or mounts.is_mount(target)
            again = bool(((described or {}).get("spec") or {}).get("requiresRepublish"))
            if is_shown and not again:
                self._published.setdefault(target, 0.0)
                return str(target)
            attached = await self._attachment(wanted, described)
            work = _SetUp(driver, wanted, context, described, attached)
            await self._stage(work)
            await self._publish(work, target)
            if not is_shown and request.gives_group(wanted, described):
                await _give_group(driver, context, target)
            self._published[target] = self._now() if again else 0.0
        return str(target)

    def due_at(self, uid: str) -> float:
        """When the pod's volumes are to be looked at again; 0.0 is never."""
        root = self._settings.pods_dir / uid
        times = [at for target, at in self._published.items() if at and target.is_relative_to(root)]
        return min(times) + AGAIN_SECONDS if times else 0.0

    def _driver(self, wanted: Wanted) -> Driver:
        driver = self.drivers.get(wanted.driver)
        if driver is None:
            cause = f"driver name {wanted.driver} not found in the list of registered CSI drivers"
            raise NotReady(f"kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: {cause}", is_told=True)
        return driver

    async def _described(self, name: str) -> Object | None:
        try:
            return await self._client.get(CSI_DRIVERS, name)
        except StatusError as error:
            if error.code == 404:
                return None
            raise VolumeProblem(f"kubernetes.io/csi: failed to get CSIDriver {name}: {error}") from error

    def _turn(self, *key: str) -> asyncio.Lock:
        """One thing at a time for each volume."""
        driver, handle = key
        return self._turns.setdefault((driver, handle), asyncio.Lock())

    async def _attachment(self, wanted: Wanted, described: Object | None) -> Mapping[str, str] | None:
        """What attaching the volume to this node gave; None where it needs none."""
        if not request.needs_attachment(wanted, described):
            return None
        name = request.attachment_name(wanted, self._settings.node_name)
        try:
            found = await self._client.get(ATTACHMENTS, name)
        except StatusError as error:
            # Forbidden is what a node hears of one that does not exist.
            if error.code in (403, 404):
                raise NotReady(f"volume {wanted.name} is not attached yet", is_told=False) from error
            raise VolumeProblem(f"kubernetes.io/csi: failed to get VolumeAttachment {name}: {error}") from error
        status = found.get("status") or {}
        if not status.get("attached"):
            raise NotReady(f"volume {wanted.name} is not attached yet", is_told=False)
        metadata: Mapping[str, str] = status.get("attachmentMetadata") or {}
        return metadata

    async def _stage(self, work: _SetUp) -> None:
        from tiphys.wire.grpc import RpcError

        wanted = work.wanted
        if wanted.mode == request.EPHEMERAL or not work.driver.can(abilities.CAN_STAGE) or work.key in self._staged:
            return
        path = request.staging_path(self._settings.csi_dir, wanted)
        if not mounts.is_mount(path):
            await asyncio.to_thread(path.mkdir, parents=True, exist_ok=True, mode=0o750)
            record = Record(*work.key, self._settings.shown(path))
            await asyncio.to_thread(records.write, request.record_of(self._settings.csi_dir, *work.key), record)
            asked = {
                "volume_id": wanted.handle,
                "publish_context": work.attached or {},
                "staging_target_path": record.path,
                "volume_capability": work.capability,
                "secrets": await self._secret(wanted.stage_secret, "NodeStageSecretRef"),
                "volume_context": wanted.attributes,
            }
            try:
                await work.driver.stage(asked)
            except RpcError as error:
                raise DeviceFailed(wanted.name, error) from error
        self._staged.add(work.key)

    async def _publish(self, work: _SetUp, target: Path) -> None:
        from tiphys.wire.grpc import RpcError

        wanted, is_attachable = work.wanted, work.attached is not None
        await asyncio.to_thread(target.parent.mkdir, parents=True, exist_ok=True, mode=0o750)
        record = Record(*work.key, self._settings.shown(target), attachable=is_attachable)
        await asyncio.to_thread(records.write, request.record_dir(work.context, wanted), record)
        if is_attachable:
            self.on_change()
        secrets = await self._secret(wanted.publish_secret, "NodePublishSecretRef")
        attributes = dict(wanted.attributes)
        if work.says.get("podInfoOnMount"):
            attributes |= request.pod_attributes(work.context, wanted)
        if work.says.get("tokenRequests"):
            place = secrets if work.says.get("serviceAccountTokenInSecrets") else attributes
            place[request.TOKENS] = await self._tokens(work)
        asked = {
            "volume_id": wanted.handle,
            "publish_context": work.attached or {},
            "target_path": record.path,
            "volume_capability": work.capability,
            "readonly": wanted.read_only,
            "secrets": secrets,
            "volume_context": attributes,
        }
        if work.key in self._staged:
            asked["staging_target_path"] = self._settings.shown(request.staging_path(self._settings.csi_dir, wanted))
        try:
            await work.driver.publish(asked)
        except RpcError as error:
            raise VolumeProblem(str(error)) from error

    async def _secret(self, ref: Ref | None, what: str) -> dict[str, str]:
        if ref is None:
            return {}
        where = f"fetching {what} {ref.namespace}/{ref.name} failed: kubernetes.io/csi: failed to find the secret"
        where = f"{where} {ref.name} in the namespace {ref.namespace} with error"
        try:
            found = await self._objects.get(ref)
        except StatusError as error:
            raise VolumeProblem(f"{where}: {error}") from error
        if found is None:
            raise VolumeProblem(f'{where}: secrets "{ref.name}" not found')
        data = found.get("data") or {}
        return {name: base64.b64decode(value).decode("utf-8", "replace") for name, value in data.items()}

    async def _tokens(self, work: _SetUp) -> str:
        found = {}
        for one in work.says["tokenRequests"]:
            token = await self.tokens.get(work.context, one)
            told = {"token": token.value, "expirationTimestamp": token.expires}
            found[one.get("audience") or ""] = told
        return orjson.dumps(found).decode()

    # undoing

    async def release(self, uid: str) -> None:
        """Undo everything for a pod. NotReady or VolumeProblem while a driver does not; idempotent."""
        self._waiting.pop(uid, None)
        problems = []
        for directory, record in records.of_pod(self._settings.pods_dir / uid).items():
            try:
                await self._unpublish(directory, record)
            except (VolumeProblem, OSError) as error:
                problems.append(str(error))
        if problems:
            raise VolumeProblem("; ".join(problems))

    async def settle(self, driver: str) -> None:
        """Undo what a crash left: volumes that are staged and that no pod has."""
        for record in records.staged(self._settings.csi_dir).values():
            if record.driver == driver:
                async with self._turn(*record.key):
                    await self._unstage_unused(record)

    async def _unpublish(self, directory: Path, record: Record) -> None:
        from tiphys.wire.grpc import RpcError

        async with self._turn(*record.key):
            driver = self._undoing(record)
            try:
                await driver.unpublish(record.handle, record.path)
            except RpcError as error:
                raise VolumeProblem(f"kubernetes.io/csi: Unmounter.TearDownAt failed: {error}") from error
            target = self._settings.real(record.path)
            await asyncio.to_thread(_remove_place, target)
            records.remove(directory)
            self._published.pop(target, None)
            self._stats.forget(record.path)
            if record.attachable:
                self.on_change()
            await self._unstage_unused(record)

    async def _unstage_unused(self, record: Record) -> None:
        """With the volume's turn held."""
        from tiphys.wire.grpc import RpcError

        if any(other.key == record.key for other in records.of_pods(self._settings.pods_dir).values()):
            return
        directory = request.record_of(self._settings.csi_dir, *record.key)
        staged = records.read(directory)
        if staged is None:
            return
        driver = self._undoing(record)
        try:
            await driver.unstage(staged.handle, staged.path)
        except RpcError as error:
            raise VolumeProblem(f"kubernetes.io/csi: attacher.UnmountDevice failed: {error}") from error
        self._staged.discard(record.key)
        await asyncio.to_thread(_remove_place, self._settings.real(staged.path))
        records.remove(directory)
        await asyncio.to_thread(directory.rmdir)

    def _undoing(self, record: Record) -> Driver:
        driver = self.drivers.get(record.driver)
        if driver is None:
            cause = f"driver name {record.driver} not found in the list of registered CSI drivers"
            raise NotReady(f"kubernetes.io/csi: Unmounter.TearDownAt failed to get CSI client: {cause}", is_told=True)
        return driver


def _remove_place(path: Path) -> None:
    """What is left after a driver has unmounted. OSError while anything is mounted or in it: no data are removed."""
    if mounts.below(path):
        raise VolumeProblem(f"{path} is still mounted after its driver has unmounted it")
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


async def _give_group(driver: Driver, context: Context, target: Path) -> None:
    """Drivers that take the group give it themselves."""
    group = context.fs_group
    if group is None or driver.can(abilities.TAKES_GROUP):
        return
    policy = (context.pod["spec"].get("securityContext") or {}).get("fsGroupChangePolicy")
    matching = policy == "OnRootMismatch"
    await asyncio.to_thread(ownership.give, target, group, only_on_mismatch=matching, read_only=False)
