"""
The node agent: watches the pods that are bound to this node and gives each a worker.

At start it looks at what is still there (`recovery.py`), so that a kill of the agent or a reboot changes nothing that
users could see: running containers are followed, finished ones reported, and what belongs to no pod any more is
cleared away. A pod is known by its uid: another pod of the same name has another worker.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiphys.aio import clock as clocks
from tiphys.api import resources
from tiphys.api.errors import StatusError
from tiphys.api.objects import is_deleting, uid_of
from tiphys.client.client import Client
from tiphys.client.events import Recorder
from tiphys.client.informer import Informer
from tiphys.network.door import Network
from tiphys.node import admission, recovery, shutdown
from tiphys.node.csi.volumes import CsiVolumes
from tiphys.node.devices.devices import Devices, DevicesFailed
from tiphys.node.drivers import Drivers
from tiphys.node.here import Here
from tiphys.node.images import Images
from tiphys.node.logs import Logs
from tiphys.node.machine import Machine
from tiphys.node.objects import Objects
from tiphys.node.pod import spec
from tiphys.node.pod.facts import Ending, Waiting
from tiphys.node.pod.parts import Parts
from tiphys.node.pod.phase import FINAL
from tiphys.node.pod.state import PodState
from tiphys.node.pod.worker import SURPRISE_SECONDS, PodWorker
from tiphys.node.pressure.image_garbage import ImageGarbage
from tiphys.node.pressure.watcher import Watcher, node_reference
from tiphys.node.recovery import Remains
from tiphys.node.registration import Registration
from tiphys.node.resizes import Resizes
from tiphys.node.settings import NodeSettings
from tiphys.node.static.pods import Agent as StaticAgent
from tiphys.node.static.pods import StaticPods
from tiphys.node.statuses import Statuses
from tiphys.node.volumes.claims import Claims
from tiphys.node.volumes.context import VolumeProblem
from tiphys.node.volumes.local_volumes import LocalVolumes
from tiphys.node.volumes.volumes import Volumes
from tiphys.runtime.door import Image, Runtime, RuntimeFailure

Object = dict[str, Any]

# What belongs to no pod is given this long to end.
ORPHAN_GRACE_SECONDS = 2.0

log = logging.getLogger(__name__)


async def at_once(pod: Object, address: str) -> None:
    """Nobody rules who may reach a pod."""


def unheard(uid: str) -> None:
    """Nobody asks which addresses are free again."""


@dataclass(frozen=True, slots=True)
class Doors:
    """
    What the agent works on: the API and this machine.

    `withdrawn` is given a pod's uid and returns when no new connection is led to it any more. `guarded` is given a pod
    with its new address and returns when its network policies hold there; `released` is told when it gives it back.
    """

    client: Client
    runtime: Runtime
    network: Network
    machine: Machine
    withdrawn: Callable[[str], Awaitable[None]]
    guarded: Callable[[Object, str], Awaitable[None]] = at_once
    released: Callable[[str], None] = unheard


class NodeAgent:
    """`run()` works until cancelled; containers go on without it. `ready` is set when the node is registered."""

    def __init__(self, settings: NodeSettings, doors: Doors, now: clocks.Clock = clocks.system) -> None:
        self.settings = settings
        self.ready = asyncio.Event()
        self._doors = doors
        self._now = now
        client = doors.client
        self._recorder = Recorder(client, "kubelet", settings.node_name, now)
        self._registration = Registration(client, settings, doors.machine, now)
        self._services = Informer(client, resources.get("", "v1", "services"))
        mine = f"spec.nodeName={settings.node_name}"
        self._pods = Informer(client, resources.get("", "v1", "pods"), field_selector=mine)
        itself = f"metadata.name={settings.node_name}"
        self._nodes = Informer(client, resources.get("", "v1", "nodes"), field_selector=itself)
        objects, devices = Objects(client), Devices(settings)
        csi = CsiVolumes(client, objects, self._recorder, settings, now)
        self._drivers = Drivers(client, csi, devices, settings)
        self._local_volumes = LocalVolumes(client, self._recorder, settings)
        self._resizes = Resizes(settings.pods_dir, self._holders, self._node, now)
        self.parts = Parts(
            settings=settings,
            runtime=doors.runtime,
            network=doors.network,
            recorder=self._recorder,
            statuses=Statuses(client),
            objects=objects,
            images=Images(doors.runtime, objects, self._recorder, settings.parallel_pulls_max, now),
            devices=devices,
            volumes=Volumes(objects, settings, Claims(client, self._local_volumes, self._node), csi),
            logs=Logs(doors.runtime, settings),
            machine=doors.machine,
            withdrawn=self._withdrawn,
            guarded=doors.guarded,
            released=doors.released,
            resized=self._resizes.done,
            services=self._services.list,
            now=now,
        )
        self._garbage = ImageGarbage(doors.runtime, settings.data_dir / "pulled-images.json", now)
        self.parts.images.on_pulled = self._on_image
        devices.on_change = csi.on_change = self._registration.refresh
        self._registration.devices, self._registration.volumes_in_use = devices.resources, csi.in_use
        self._drivers.node, self._drivers.leftovers = self._node, self._clear_orphans
        self._workers: dict[str, PodWorker] = {}
        # What the node's HTTPS server asks.
        self.here = Here(lambda: self.workers, self.parts)
        self._pressure = Watcher(self, self._registration.report, self._garbage)
        # Pods whose work is done while their object may still be seen for a moment.
        self._done: set[str] = set()
        self._remains: dict[str, Remains] = {}
        self._static: StaticPods | None = None
        if settings.static_pods_dir is not None:
            directory, name = settings.static_pods_dir, settings.node_name
            self._static = StaticPods(directory, name, client, self.parts.statuses, now)
        self._group: asyncio.TaskGroup | None = None
        self._closing = False

    async def run(self) -> None:
        """Recover, register, work."""
        parts = self.parts
        await parts.runtime.open()
        parts.volumes.open()
        self._garbage.open()
        parts.devices.open()
        self._remains = await recovery.survey(parts.runtime, parts.network)
        async with asyncio.TaskGroup() as group:
            self._group = group
            informers = (self._services, self._nodes)
            for part in (parts.statuses, parts.objects, parts.images, parts.logs, self._recorder, *informers):
                group.create_task(part.run(), name=type(part).__name__.lower())
            if self._static is not None:
                self._static.open(StaticAgent(self._begin, self._end_static, self._node, self._shown))
            await self._services.synced()
            group.create_task(self._pods.run(), name="pods of the node")
            await asyncio.gather(self._registration.register(await self._images()), self._pods.synced())
            self._tell_of_the_start()
            self._nodes.on_event(self._registration.observe)
            self._nodes.on_event(self._drivers.observe)
            self._nodes.on_event(lambda _, __: self._resizes.retry())
            self._pods.on_event(self._on_pod)
            group.create_task(self._registration.run(self._images), name="registration")
            group.create_task(self._pressure.run(), name="pressure")
            group.create_task(parts.devices.run(), name="devices")
            group.create_task(self._drivers.run(), name="drivers")
            group.create_task(self._local_volumes.run(), name="local volumes")
            if self._static is not None:
                group.create_task(self._static.run(), name="static pods")
            self.ready.set()
            # Only now is it known who holds what.
            for worker in self.workers:
                self._resizes.consider(worker)
            await self._clear_orphans()

    async def shut_down(self) -> None:
        """
        The machine goes down: no pod begins any more, and those that are here end by priority, if the settings give
        them time. Returns when they have.
        """
        settings = self.settings
        order = shutdown.turns(settings.shutdown_seconds, settings.shutdown_critical_seconds)
        if not order:
            return
        self._closing = True
        self._registration.close(shutdown.NOT_READY)
        await shutdown.carry_out(self.workers, order, self._now)

    def _tell_of_the_start(self) -> None:
        name = self.settings.node_name
        node = node_reference(name)
        self._recorder.normal(node, "Starting", "Starting kubelet.")
        self._recorder.normal(node, "NodeReady", f"Node {name} status is now: NodeReady")

    def _on_image(self, image: Image, new: bool) -> None:
        if new:
            self._garbage.pulled(image)
        self._registration.refresh()

    async def _images(self) -> Sequence[Image]:
        try:
            return await self.parts.runtime.images()
        except RuntimeFailure as error:
            log.warning("the images cannot be listed: %s", error)
            return ()

    # pods

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        if self._static is not None and self._static.observe(old, new):
            return
        # The informer keys by name: a pod that was replaced under the same name shows as one change.
        if old is not None and (new is None or uid_of(old) != uid_of(new)):
            self._done.discard(uid_of(old))
            worker = self._workers.get(uid_of(old))
            if worker is not None:
                worker.removed()
        if new is None:
            return
        self._tell(new)
        # Who has ended has given something back.
        self._resizes.retry()

    def _tell(self, new: Object) -> None:
        uid = uid_of(new)
        if uid in self._workers:
            self._workers[uid].update(new)
            self._resizes.consider(self._workers[uid])
        elif uid not in self._done:
            self._begin(new)

    async def _withdrawn(self, uid: str) -> None:
        await self._doors.withdrawn(self._static.mirror_uid(uid) if self._static is not None else uid)

    def _shown(self, key: tuple[str, str]) -> Object | None:
        return self._pods.get(*key)

    def _end_static(self, pod: Object) -> None:
        """Its file is gone, or says another pod: it has its grace, and nothing is reported any more."""
        worker = self._workers.get(uid_of(pod))
        if worker is not None:
            worker.end(Ending(self._now() + spec.grace_seconds(pod), deleting=True, gone=True))

    def _begin(self, pod: Object) -> None:
        assert self._group is not None
        remains = self._remains.pop(uid_of(pod), None)
        state = recovery.state_of(pod, remains or Remains(), self._now())
        known = remains is not None or (pod.get("status") or {}).get("startTime") or state.ending is not None
        state.admitted = bool(known) or is_deleting(pod)
        if known:
            self._resizes.recall(state)
        worker = self._workers[uid_of(pod)] = PodWorker(state, self.parts)
        self._group.create_task(self._work(worker), name=f"pod {spec.described(pod)}")
        self._pressure.began(pod)

    async def _work(self, worker: PodWorker) -> None:
        state = worker.state
        if not state.admitted:
            await self._admit(state)
        while not state.over:
            try:
                await worker.run()
            except Exception:
                # One pod's trouble must not end the agent, which is all pods'.
                log.exception("the worker of pod %s failed, beginning anew", spec.described(state.pod))
                await asyncio.sleep(SURPRISE_SECONDS)
        del self._workers[uid_of(state.pod)]
        self._resizes.forget(uid_of(state.pod))
        if not (state.ending is not None and state.ending.gone):
            self._done.add(uid_of(state.pod))
        if self._static is not None and spec.is_static(state.pod):
            self._static.over(state.pod)

    async def _admit(self, state: PodState) -> None:
        """A pod that is new here must fit beside those that were taken before it."""
        if self._closing:
            state.refused = Waiting(shutdown.REFUSED_REASON, shutdown.REFUSED_MESSAGE)
            self._recorder.warning(state.pod, state.refused.reason, state.refused.message)
            return
        lacking = self.parts.devices.shortage(state.pod)
        state.refused = admission.unexpected(lacking) if lacking else await self._refusal(state.pod)
        # Counted from now on, while its devices are asked for.
        state.admitted = state.refused is None
        if state.admitted:
            try:
                await self.parts.devices.allocate(state.pod)
            except DevicesFailed as error:
                state.refused, state.admitted = admission.unexpected(str(error)), False
        if state.refused is not None:
            self._recorder.warning(state.pod, state.refused.reason, state.refused.message)

    async def _refusal(self, pod: Object) -> Waiting | None:
        held = [worker.state.pod for worker in self._holders()]
        short = self._pressure.refusal(pod)
        if short:
            return Waiting("Evicted", short)
        told = (self.settings.allowed_unsafe_sysctls, self._doors.machine)
        refused = admission.refusal(pod, held, self._node(), *told)
        if refused is None or spec.is_static(pod):
            return refused
        # What we know of our node may be older than what the scheduler knew.
        node = self._node()
        try:
            node = await self._doors.client.get(self._nodes.resource, self.settings.node_name)
        except (StatusError, OSError) as error:
            log.info("the node could not be read again: %s", error)
        return admission.refusal(pod, held, node, *told)

    def _holders(self) -> list[PodWorker]:
        return [worker for worker in self._workers.values() if holds_resources(worker.state)]

    def _node(self) -> Object:
        node = self._nodes.get("", self.settings.node_name) or self._registration.node
        if (node.get("status") or {}).get("allocatable"):
            return node
        # Static pods begin before the API has told of the node, or without it.
        return {**node, "status": {"allocatable": dict(self._doors.machine.allocatable)}}

    async def _clear_orphans(self) -> None:
        """What is left over belongs to pods that were deleted while no agent ran."""
        self.parts.devices.release_all_but(set(self._workers))
        orphans = set(self._remains) | self.parts.volumes.directories()
        for uid in orphans - set(self._workers) - self._done:
            try:
                await self._clear(uid, self._remains.pop(uid, Remains()))
            except (RuntimeFailure, VolumeProblem, OSError) as error:
                log.warning("what is left of pod %s could not be removed: %s", uid, error)

    async def _clear(self, uid: str, remains: Remains) -> None:
        runtime = self.parts.runtime
        running = [status.id for status in remains.containers if status.state == "running"]
        log.info("removing what is left of pod %s, which no longer exists", uid)
        await asyncio.gather(*(runtime.stop(run_id, ORPHAN_GRACE_SECONDS) for run_id in running))
        await runtime.remove_sandbox(uid)
        self.parts.released(uid)
        await self.parts.network.release(uid)
        await self.parts.volumes.release(uid)
        self.parts.devices.release(uid)
        for folder in (self.settings.pods_dir / uid, *self.settings.log_dir.glob(f"*_{uid}")):
            await asyncio.to_thread(remove_folder, folder)

    @property
    def workers(self) -> Sequence[PodWorker]:
        return list(self._workers.values())


def holds_resources(state: PodState) -> bool:
    """Whether a pod still takes a part of the node. One that has left the API is about to give everything back."""
    gone = state.ending is not None and state.ending.gone
    final = (state.status or state.pod.get("status") or {}).get("phase") in FINAL
    return state.admitted and not (state.torn_down or final or gone)


def remove_folder(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
