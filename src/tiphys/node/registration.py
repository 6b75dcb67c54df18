"""
The Node object and its lease: who we are, what we have, that we live.

Registered once at start (created, or patched where it exists: labels and taints that others set stay). After that the
lease is renewed, and the status written when a condition changes and otherwise rarely.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tiphys.aio.clock import Clock
from tiphys.api import resources
from tiphys.api.errors import StatusError
from tiphys.api.objects import condition_of, micro_timestamp, timestamp
from tiphys.api.storage import LOCAL_PATH
from tiphys.client.client import STRATEGIC_PATCH, Client
from tiphys.node.machine import Machine
from tiphys.node.settings import NodeSettings
from tiphys.runtime.door import Image

Object = dict[str, Any]

LEASE_NAMESPACE = "kube-node-lease"
RENEWALS_PER_LEASE = 4
RETRY_SECONDS = 1.0
IMAGES_SHOWN_MAX = 50
# What the API server may ask of a node of this version and not of an older one.
DECLARED_FEATURES = ("InPlacePodLevelResourcesVerticalScaling", "RestartAllContainersOnContainerExits")
NAMES_SHOWN_MAX = 5

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pressure:
    """What the machine is short of, and why the node may not be ready ("" when it is)."""

    memory: bool = False
    disk: bool = False
    pids: bool = False
    not_ready: str = ""


# pure


def labels_of(settings: NodeSettings, machine: Machine) -> dict[str, str]:
    return {
        "beta.kubernetes.io/arch": machine.architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": machine.architecture,
        "kubernetes.io/hostname": settings.node_name,
        "kubernetes.io/os": "linux",
        **settings.labels,
    }


def node_object(settings: NodeSettings, machine: Machine) -> Object:
    """The object to create."""
    spec: Object = {}
    if settings.pod_cidr:
        spec |= {"podCIDR": settings.pod_cidr, "podCIDRs": [settings.pod_cidr]}
    if settings.taints:
        spec["taints"] = [dict(taint) for taint in settings.taints]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": settings.node_name,
            "labels": labels_of(settings, machine),
            "annotations": {LOCAL_PATH: str(settings.volumes_dir)},
        },
        "spec": spec,
    }


def node_status(settings: NodeSettings, machine: Machine, images: Iterable[Image]) -> Object:
    """Everything but the conditions."""
    return {
        "capacity": dict(machine.capacity),
        "allocatable": dict(machine.allocatable),
        "addresses": [
            {"type": "InternalIP", "address": settings.node_ip},
            {"type": "Hostname", "address": settings.node_name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": settings.port}},
        "nodeInfo": dict(machine.info),
        "images": image_list(images),
        "features": {"supplementalGroupsPolicy": True},
        "runtimeHandlers": [{"name": name, "features": _handler_features(machine)} for name in ("", "crun")],
        "declaredFeatures": list(DECLARED_FEATURES),
    }


def _handler_features(machine: Machine) -> Object:
    return {"recursiveReadOnlyMounts": True, "userNamespaces": machine.user_namespaces}


def image_list(images: Iterable[Image]) -> list[Object]:
    """The largest images first: what saves most when the scheduler places pods where they are."""
    largest = sorted(images, key=lambda image: (-image.size_bytes, image.id))[:IMAGES_SHOWN_MAX]
    shown = []
    for image in largest:
        names = [*image.digests, *image.names][:NAMES_SHOWN_MAX]
        if names:
            shown.append({"names": names, "sizeBytes": image.size_bytes})
    return shown


def conditions_of(pressure: Pressure, before: Iterable[Mapping[str, Any]], now: float) -> list[Object]:
    """The four conditions with the kubelet's reasons; a transition time moves only when the status flips."""
    known = {condition["type"]: condition for condition in before}
    texts = [
        ("MemoryPressure", pressure.memory, "Memory", "memory available"),
        ("DiskPressure", pressure.disk, "Disk", "disk space available"),
        ("PIDPressure", pressure.pids, "PID", "PID available"),
    ]
    result = []
    for kind, short, word, rest in texts:
        reason = f"KubeletHasInsufficient{word}" if short else _sufficient(word)
        message = f"kubelet has insufficient {rest}" if short else _sufficient_text(word, rest)
        result.append(_condition(kind, short, reason, message, known, now))
    if pressure.not_ready:
        result.append(_condition("Ready", False, "KubeletNotReady", pressure.not_ready, known, now))
    else:
        result.append(_condition("Ready", True, "KubeletReady", "kubelet is posting ready status", known, now))
    return result


def _sufficient(word: str) -> str:
    return "KubeletHasNoDiskPressure" if word == "Disk" else f"KubeletHasSufficient{word}"


def _sufficient_text(word: str, rest: str) -> str:
    return "kubelet has no disk pressure" if word == "Disk" else f"kubelet has sufficient {rest}"


def _condition(
    kind: str, status: bool, reason: str, message: str, known: Mapping[str, Mapping[str, Any]], now: float
) -> Object:
    text = "True" if status else "False"
    before = known.get(kind)
    same = before is not None and before.get("status") == text
    moved_at = before.get("lastTransitionTime") if same and before is not None else None
    return {
        "type": kind,
        "status": text,
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": timestamp(now),
        "lastTransitionTime": moved_at or timestamp(now),
    }


# talking to the API


class Registration:
    """`run()` keeps lease and status; `node` is the object as we last saw it."""

    def __init__(self, client: Client, settings: NodeSettings, machine: Machine, now: Clock) -> None:
        self._client = client
        self._settings = settings
        self._machine = machine
        self._now = now
        self._nodes = resources.get("", "v1", "nodes")
        self._leases = resources.get("coordination.k8s.io", "v1", "leases")
        self._changed = asyncio.Event()
        self._lease: Object | None = None
        self._closing = ""
        self.pressure = Pressure()
        # (capacity, allocatable) of what plugins offer.
        self.devices: Callable[[], Mapping[str, tuple[int, int]]] = dict
        self.volumes_in_use: Callable[[], list[str]] = list
        self.node: Object = node_object(settings, machine)

    async def register(self, images: Iterable[Image]) -> None:
        """Create the node or bring it up to date; returns when the API has it as Ready."""
        await self._insist(self._create_or_label)
        await self._insist(lambda: self._write_status(images))

    def report(self, pressure: Pressure) -> None:
        """Written at once when it differs."""
        if self._closing:
            pressure = replace(pressure, not_ready=self._closing)
        if pressure != self.pressure:
            self.pressure = pressure
            self._changed.set()

    def close(self, why: str) -> None:
        """The node is not ready any more, whatever else is told of it."""
        self._closing = why
        self.report(self.pressure)

    def refresh(self) -> None:
        """Write the status again: the images are others now."""
        self._changed.set()

    def observe(self, old: Object | None, new: Object | None) -> None:
        """Our object has changed: one that is gone, or that somebody took for dead, is written again at once."""
        ready = condition_of(new, "Ready") if new is not None else None
        if ready is None or ready["status"] == "Unknown":
            self.node = new if new is not None else self.node
            self._changed.set()

    async def run(self, images: Callable[[], Any]) -> None:
        """Renew until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_lease(), name="node lease")
            group.create_task(self._keep_status(images), name="node status")

    async def _insist(self, request: Callable[[], Any]) -> None:
        failures = 0
        while True:
            try:
                await request()
                return
            except (StatusError, OSError) as error:
                failures += 1
                if failures == 1:
                    log.warning("the node cannot be registered yet: %s", error)
                await asyncio.sleep(min(0.05 * 2.0 ** min(failures, 20), 5.0))

    async def _create_or_label(self) -> None:
        wanted = node_object(self._settings, self._machine)
        try:
            self.node = await self._client.create(self._nodes, wanted)
        except StatusError as error:
            if error.code != 409:
                raise
            ours = {part: wanted["metadata"][part] for part in ("labels", "annotations")}
            self.node = await self._client.patch(self._nodes, ("", self._settings.node_name), {"metadata": ours})

    async def _write_status(self, images: Iterable[Image]) -> None:
        status = node_status(self._settings, self._machine, images)
        for name, (capacity, allocatable) in self.devices().items():
            status["capacity"][name], status["allocatable"][name] = str(capacity), str(allocatable)
        status["volumesInUse"] = self.volumes_in_use() or None
        before = (self.node.get("status") or {}).get("conditions") or ()
        status["conditions"] = conditions_of(self.pressure, before, self._now())
        if (self.node.get("status") or {}).get("addresses"):
            # Addresses are merged by type: without this a former one would stay. Where there is none yet, the
            # directive itself would be stored.
            status["addresses"] = [{"$patch": "replace"}, *status["addresses"]]
        self.node = await self._client.patch(
            self._nodes,
            ("", self._settings.node_name),
            {"status": status},
            subresource="status",
            media_type=STRATEGIC_PATCH,
        )

    async def _keep_status(self, images: Callable[[], Any]) -> None:
        while True:
            try:
                async with asyncio.timeout(self._settings.heartbeat_seconds):
                    await self._changed.wait()
            except TimeoutError:
                pass  # nothing is new, yet the heartbeat is due
            self._changed.clear()
            try:
                await self._write_status(await images())
            except (StatusError, OSError) as error:
                log.warning("the node status could not be written, trying again: %s", error)
                if isinstance(error, StatusError) and error.code == 404:
                    await self._insist(self._create_or_label)
                await asyncio.sleep(RETRY_SECONDS)
                self._changed.set()

    async def _keep_lease(self) -> None:
        while True:
            try:
                await self._renew()
                await asyncio.sleep(self._settings.lease_seconds / RENEWALS_PER_LEASE)
            except (StatusError, OSError) as error:
                log.warning("the node lease could not be renewed, trying again: %s", error)
                self._lease = None
                await asyncio.sleep(RETRY_SECONDS)

    async def _renew(self) -> None:
        name, now = self._settings.node_name, micro_timestamp(self._now())
        if self._lease is None:
            try:
                self._lease = await self._client.get(self._leases, name, LEASE_NAMESPACE)
            except StatusError as error:
                if error.code != 404:
                    raise
                self._lease = await self._client.create(self._leases, self._new_lease(now), LEASE_NAMESPACE)
                return
        spec = {**self._lease["spec"], "holderIdentity": name, "renewTime": now}
        spec["leaseDurationSeconds"] = self._settings.lease_seconds
        self._lease = await self._client.update(self._leases, {**self._lease, "spec": spec})

    def _new_lease(self, now: str) -> Object:
        name = self._settings.node_name
        owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": self.node["metadata"].get("uid", "")}
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]},
            "spec": {
                "holderIdentity": name,
                "leaseDurationSeconds": self._settings.lease_seconds,
                "renewTime": now,
            },
        }
