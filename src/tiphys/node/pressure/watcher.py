"""
Watch what the machine has left, say so in the node's conditions, and let pods give way.

Short memory is told by the kernel (PSI); disks, inodes and process ids have no event, so they are looked at, the
sooner the closer they are to their threshold. On want of disk, images that nobody uses go first. Then one pod gives
way at a time, and the machine is measured again before the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tiphys.node import log_files, translate
from tiphys.node.pod.facts import Ending
from tiphys.node.pod.parts import Parts
from tiphys.node.pod.state import PodState
from tiphys.node.pod.worker import PodWorker
from tiphys.node.pressure import disk_usage, ranking, signals, storage_limits, thresholds
from tiphys.node.pressure.disk_usage import Places, PodDiskUsage
from tiphys.node.pressure.image_garbage import ImageGarbage
from tiphys.node.pressure.ranking import Consumer
from tiphys.node.pressure.thresholds import SIGNALS, Judgement, Observation, Threshold
from tiphys.node.registration import Pressure
from tiphys.runtime.door import RuntimeFailure

Pod = Mapping[str, Any]

LOOK_SECONDS = 60.0
# Where a pod has a limit on disk, what it takes is measured this often: no event tells of it.
LIMIT_LOOK_SECONDS = 10.0
# While there is pressure: how often to look whether it is over.
PRESSURE_LOOK_SECONDS = 2.0
# How long one that gives way may take before the next one has to as well.
CLEARING_SECONDS_MAX = 30.0
EVICTED = "Evicted"

log = logging.getLogger(__name__)


class Node(Protocol):
    """What is needed of the agent."""

    parts: Parts

    @property
    def workers(self) -> Sequence[PodWorker]: ...


class Watcher:
    """`run()` works until cancelled; `report` is told what the node is short of."""

    def __init__(self, node: Node, report: Callable[[Pressure], None], garbage: ImageGarbage) -> None:
        self._node = node
        self._report = report
        self._garbage = garbage
        settings = node.parts.settings
        self._thresholds = thresholds.parse(
            settings.eviction_hard, settings.eviction_soft, settings.eviction_soft_grace_period
        )
        self._judged = Judgement()
        # The pod that gives way, and until when the next one is spared.
        self._clearing: tuple[PodWorker, float] | None = None
        self._woken = asyncio.Event()

    def began(self, pod: Pod) -> None:
        """A pod is new here: one whose disk has limits must not wait for the next rare look."""
        if storage_limits.is_limited(pod):
            self._woken.set()

    def refusal(self, pod: Pod) -> str:
        """Why the node, short of something, does not take a new pod; "" when it does."""
        return ranking.refusal(pod, self._judged.pressures)

    async def run(self) -> None:
        with signals.stalls(self._woken.set):
            while True:
                seen = self._look()
                await self._collect_images(seen)
                await self._relieve(seen)
                limited = await self._keep_limits()
                await self._sleep(self._pause(seen, limited=limited))

    def _look(self) -> dict[str, Observation]:
        parts = self._node.parts
        seen = signals.observe(parts.settings.data_dir, parts.settings.image_dir)
        self._judged = thresholds.judge(self._thresholds, seen, self._judged, parts.now())
        short = self._judged.pressures
        self._report(Pressure(memory="memory" in short, disk="disk" in short, pids="pids" in short))
        return seen

    def _pause(self, seen: Mapping[str, Observation], *, limited: bool) -> float:
        if self._judged.pressures:
            return PRESSURE_LOOK_SECONDS
        calm = LIMIT_LOOK_SECONDS if limited else LOOK_SECONDS
        return signals.seconds_to_next_look(self._thresholds, seen, at_most=calm)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return
        finally:
            self._woken.clear()

    def _tell(self, reason: str, message: str) -> None:
        """An event about the node."""
        self._node.parts.recorder.warning(node_reference(self._node.parts.settings.node_name), reason, message)

    # want

    async def _collect_images(self, seen: Mapping[str, Observation]) -> None:
        if thresholds.IMAGE_BYTES in seen:
            await self._try(self._garbage.collect(seen[thresholds.IMAGE_BYTES], self._tell))

    async def _relieve(self, seen: dict[str, Observation]) -> None:
        """One step; whether it was enough is seen at the next look."""
        if not self._judged.acting:
            return
        threshold = self._judged.acting[0]
        condition, resource = SIGNALS[threshold.signal]
        if self._is_clearing():
            return
        self._tell("EvictionThresholdMet", f"Attempting to reclaim {resource}")
        if condition == "disk" and await self._free_images(threshold, seen[threshold.signal]):
            return
        chosen = ranking.victim(await self._consumers(resource), resource)
        if chosen is None:
            log.warning("the node is short of %s, and no pod may be asked to give way", resource)
            return
        uid = chosen.pod["metadata"]["uid"]
        worker = next((w for w in self._node.workers if w.work.uid == uid), None)
        if worker is None:
            return  # it has ended while we measured
        self._evict(worker, ranking.message(threshold, seen[threshold.signal], chosen), self._grace(threshold, worker))

    def _is_clearing(self) -> bool:
        if self._clearing is None:
            return False
        worker, until = self._clearing
        if worker.state.torn_down or worker.state.over or self._node.parts.now() >= until:
            self._clearing = None
        return self._clearing is not None

    async def _free_images(self, threshold: Threshold, seen: Observation) -> bool:
        """Whether images that nobody uses were worth removing: then pods are spared until the next look."""
        wanted = threshold.amount(seen.capacity) - seen.available
        if threshold.signal.endswith("inodesFree"):
            wanted = 1  # how many inodes an image has is not known: one image, then another look
        return bool(await self._try(self._garbage.free(wanted)))

    async def _try(self, collecting: Any) -> int:
        try:
            return int(await collecting)
        except (RuntimeFailure, OSError) as error:
            log.warning("unused images cannot be collected: %s", error)
            return 0

    def _grace(self, threshold: Threshold, worker: PodWorker) -> float:
        """A soft threshold lets a pod end in its own time, within bounds."""
        if not threshold.grace_seconds:
            return 0.0
        asked = worker.state.pod["spec"].get("terminationGracePeriodSeconds", 30)
        return float(min(asked, self._node.parts.settings.eviction_max_pod_grace_seconds))

    def _evict(self, worker: PodWorker, text: str, grace_seconds: float = 0.0) -> None:
        now = self._node.parts.now()
        log.warning("evicting pod %s: %s", worker.state.pod["metadata"]["name"], text)
        worker.work.warning(EVICTED, text)
        worker.end(Ending(now + grace_seconds, EVICTED, text))
        self._clearing = (worker, now + grace_seconds + CLEARING_SECONDS_MAX)

    # what pods use

    async def _consumers(self, resource: str) -> list[Consumer]:
        states = [w.state for w in self._node.workers if w.state.ending is None and w.state.sandbox.done]
        if resource in ("ephemeral-storage", "inodes"):
            return [_disk_consumer(state.pod, await self._taken(state)) for state in states]
        runs = {translate.sandbox_id(state.pod): _running(state) for state in states}
        ids = [run_id for of_pod in runs.values() for run_id in of_pod.values()]
        used = await self._node.parts.runtime.usages([*runs], ids, brief=True)
        found = []
        for state in states:
            box = translate.sandbox_id(state.pod)
            memory = {name: used[one].memory_working_set_bytes for name, one in runs[box].items() if one in used}
            whole = {"memory": sum(memory.values()), "pids": used[box].pids if box in used else 0}
            found.append(Consumer(state.pod, whole, {name: {"memory": size} for name, size in memory.items()}))
        return found

    async def _taken(self, state: PodState) -> PodDiskUsage:
        parts, pod = self._node.parts, state.pod
        runs = {name: known.runs[-1].id for name, known in state.containers.items() if known.runs}
        logs = log_files.pod_directory(parts.logs.root, pod)
        volumes = {
            v["name"]: Path(state.mounts[v["name"]])
            for v in storage_limits.volumes_on_disk(pod)
            if v["name"] in state.mounts
        }
        layers = {name: parts.runtime.layer(run_id) for name, run_id in runs.items()}
        places = Places(layers, {name: logs / name for name in runs}, volumes)
        return await asyncio.to_thread(disk_usage.of_pod, places)

    async def _keep_limits(self) -> bool:
        """Evict pods that take more of the disk than they may; whether any pod has such a limit."""
        limited = [w for w in self._node.workers if storage_limits.is_limited(w.state.pod) and w.state.ending is None]
        for worker in limited:
            if worker.state.volumes.done:
                text = storage_limits.outgrown(worker.state.pod, await self._taken(worker.state))
                if text:
                    self._evict(worker, text)
        return bool(limited)


def _running(state: PodState) -> dict[str, str]:
    latest = {name: known.runs[-1] for name, known in state.containers.items() if known.runs}
    return {name: run.id for name, run in latest.items() if run.state == "running"}


def _disk_consumer(pod: Pod, taken: PodDiskUsage) -> Consumer:
    containers = {name: {"ephemeral-storage": t.used_bytes, "inodes": t.inodes} for name, t in taken.containers.items()}
    return Consumer(pod, {"ephemeral-storage": taken.total.used_bytes, "inodes": taken.total.inodes}, containers)


def node_reference(name: str) -> dict[str, Any]:
    """As the kubelet does: kubectl looks for a node's events under its name as uid."""
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": name}}
