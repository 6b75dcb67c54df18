"""
`/stats/summary`: what the machine and each pod use, in the kubelet's words. Pure: readings in, the document out.

Fields that this machine cannot tell (pressure without a kernel that accounts it) are left out, as the kubelet does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tiphys.api.objects import timestamp
from tiphys.node.server.doors import PodPlaces, PodUsage, RunUsage
from tiphys.node.server.rates import MACHINE, Measured, Rate
from tiphys.node.server.readings import FileSystem, Interface, Machine
from tiphys.runtime.disk_usage import DiskUsage
from tiphys.runtime.door import Usage

Document = dict[str, Any]
# What a pod has beside it are the kernel's own devices of every network namespace.
POD_INTERFACE = "eth0"


@dataclass(frozen=True, slots=True)
class Own:
    """What the agent itself uses."""

    cpu_ns: int
    rss_bytes: int
    started_at: float


@dataclass(frozen=True, slots=True)
class Storage:
    """Sizes of directories by path, and the file systems of the node, of images and of volumes (by path)."""

    node: FileSystem
    images: FileSystem
    sizes: Mapping[str, DiskUsage] = field(default_factory=dict)
    volumes: Mapping[str, FileSystem] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Looked:
    """Everything that a summary is made of. `networks` are the interfaces of pods by uid."""

    node_name: str
    machine: Machine
    own: Own
    measured: Measured
    storage: Storage
    places: Mapping[str, PodPlaces] = field(default_factory=dict)
    interfaces: Sequence[Interface] = ()
    default_interface: str = ""
    networks: Mapping[str, Sequence[Interface]] = field(default_factory=dict)


def summary(looked: Looked) -> Document:
    moment = timestamp(looked.measured.sample.at)
    return {"node": _node(looked, moment), "pods": [_pod(pod, looked) for pod in looked.measured.sample.pods]}


def cpu_and_memory(looked: Looked) -> Document:
    """What is asked for with `only_cpu_and_memory=true`."""
    kept = ("nodeName", "podRef", "startTime", "cpu", "memory", "swap", "name")
    whole = summary(looked)
    node = {name: value for name, value in whole["node"].items() if name in kept}
    pods = [
        {name: value for name, value in pod.items() if name in kept}
        | {"containers": [{name: one[name] for name in one if name in kept} for one in pod["containers"]]}
        for pod in whole["pods"]
    ]
    return {"node": node, "pods": pods}


def _node(looked: Looked, moment: str) -> Document:
    machine, storage = looked.machine, looked.storage
    memory = machine.memory
    document: Document = {
        "nodeName": looked.node_name,
        "systemContainers": _system_containers(looked, moment),
        "startTime": timestamp(machine.booted_at),
        "cpu": _cpu(machine.cpu_ns, looked.measured.rates.get(MACHINE), moment, machine.pressure.get("cpu")),
        "memory": {
            "time": moment,
            "availableBytes": memory["MemAvailable"],
            "usageBytes": memory["MemTotal"] - memory["MemFree"],
            "workingSetBytes": machine.used_bytes,
            "rssBytes": memory.get("AnonPages", 0),
            "pageFaults": machine.page_faults,
            "majorPageFaults": machine.major_page_faults,
            **_psi(machine.pressure.get("memory")),
        },
        "fs": _file_system(storage.node, moment),
        "runtime": {
            "imageFs": _file_system(storage.images, moment),
            "containerFs": _file_system(storage.node, moment),
        },
        "rlimit": {"time": moment, "maxpid": machine.tasks_max, "curproc": machine.tasks},
        "swap": {
            "time": moment,
            "swapAvailableBytes": memory.get("SwapFree", 0),
            "swapUsageBytes": memory.get("SwapTotal", 0) - memory.get("SwapFree", 0),
        },
    }
    if machine.pressure.get("io"):
        document["io"] = {"time": moment, **_psi(machine.pressure["io"])}
    if looked.interfaces:
        document["network"] = _network(looked.interfaces, looked.default_interface, moment)
    return document


def _system_containers(looked: Looked, moment: str) -> list[Document]:
    own, pods = looked.own, [pod.whole for pod in looked.measured.sample.pods]
    agent = {
        "name": "kubelet",
        "startTime": timestamp(own.started_at),
        "cpu": {"time": moment, "usageCoreNanoSeconds": own.cpu_ns},
        "memory": {
            "time": moment,
            "usageBytes": own.rss_bytes,
            "workingSetBytes": own.rss_bytes,
            "rssBytes": own.rss_bytes,
        },
    }
    rates = [rate for pod in looked.measured.sample.pods if (rate := looked.measured.rates.get(pod.id)) is not None]
    everything = {
        "name": "pods",
        "startTime": timestamp(own.started_at),
        "cpu": {
            "time": moment,
            "usageNanoCores": sum(rate.nano_cores for rate in rates),
            "usageCoreNanoSeconds": sum(one.cpu_ns for one in pods),
        },
        "memory": {
            "time": moment,
            "usageBytes": sum(one.memory_usage_bytes for one in pods),
            "workingSetBytes": sum(one.memory_working_set_bytes for one in pods),
            "rssBytes": sum(one.memory_rss_bytes for one in pods),
        },
    }
    return [agent, everything]


def _pod(pod: PodUsage, looked: Looked) -> Document:
    meta = pod.pod["metadata"]
    places = looked.places.get(meta["uid"]) or PodPlaces()
    document: Document = {
        "podRef": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
        "startTime": (pod.pod.get("status") or {}).get("startTime"),
        "containers": [_container(name, run, places, looked) for name, run in pod.containers.items()],
        **_used(pod.whole, looked.measured.rates.get(pod.id)),
        "volume": [_volume(volume, looked) for volume in places.volumes if _is_known(volume, looked)],
        "ephemeral-storage": _ephemeral(places, looked),
        "process_stats": {"process_count": pod.whole.pids},
    }
    networks = looked.networks.get(meta["uid"])
    if networks:
        document["network"] = _network(networks, POD_INTERFACE, timestamp(pod.whole.at))
    return document


def _container(name: str, run: RunUsage, places: PodPlaces, looked: Looked) -> Document:
    moment = timestamp(run.usage.at)
    sizes = looked.storage.sizes
    return {
        "name": name,
        "startTime": timestamp(run.started_at),
        **_used(run.usage, looked.measured.rates.get(run.id)),
        "rootfs": _part(sizes.get(places.layers.get(name, "")), looked.storage.node, moment),
        "logs": _part(sizes.get(places.logs.get(name, "")), looked.storage.node, moment),
    }


def _used(usage: Usage, rate: Rate | None) -> Document:
    moment = timestamp(usage.at)
    memory: Document = {"time": moment}
    if usage.memory_limit_bytes:
        memory["availableBytes"] = max(usage.memory_limit_bytes - usage.memory_working_set_bytes, 0)
    memory |= {
        "usageBytes": usage.memory_usage_bytes,
        "workingSetBytes": usage.memory_working_set_bytes,
        "rssBytes": usage.memory_rss_bytes,
        "pageFaults": usage.page_faults,
        "majorPageFaults": usage.major_page_faults,
        **_psi(usage.pressure.get("memory")),
    }
    document: Document = {"cpu": _cpu(usage.cpu_ns, rate, moment, usage.pressure.get("cpu")), "memory": memory}
    if usage.pressure.get("io"):
        document["io"] = {"time": moment, **_psi(usage.pressure["io"])}
    return {**document, "swap": {"time": moment, "swapUsageBytes": usage.swap_bytes}}


def _cpu(total_ns: int, rate: Rate | None, moment: str, pressure: Any = None) -> Document:
    shown: Document = {"time": moment}
    if rate is not None:
        shown["usageNanoCores"] = rate.nano_cores
    return {**shown, "usageCoreNanoSeconds": total_ns, **_psi(pressure)}


def _psi(pressure: Mapping[str, Mapping[str, float]] | None) -> Document:
    """As the kubelet has it: totals in nanoseconds, which the kernel counts in microseconds."""
    if not pressure:
        return {}
    return {
        "psi": {
            kind: {"total": int(values["total"]) * 1000, **{n: v for n, v in values.items() if n != "total"}}
            for kind, values in pressure.items()
        }
    }


def _network(interfaces: Sequence[Interface], default: str, moment: str) -> Document:
    listed = [
        {
            "name": one.name,
            "rxBytes": one.received_bytes,
            "rxErrors": one.received_errors,
            "txBytes": one.sent_bytes,
            "txErrors": one.sent_errors,
        }
        for one in interfaces
    ]
    first = next((one for one in listed if one["name"] == default), {"name": ""})
    return {"time": moment, **first, "interfaces": listed}


def _file_system(found: FileSystem, moment: str) -> Document:
    return {
        "time": moment,
        "availableBytes": found.available,
        "capacityBytes": found.capacity,
        "usedBytes": found.used,
        "inodesFree": found.inodes_free,
        "inodes": found.inodes,
        "inodesUsed": found.inodes - found.inodes_free,
    }


def _part(size: DiskUsage | None, system: FileSystem, moment: str) -> Document:
    """What a directory takes of the file system it is on."""
    whole = _file_system(system, moment)
    used = size or DiskUsage()
    return {**whole, "usedBytes": used.used_bytes, "inodesUsed": used.inodes}


def _is_known(volume: Any, looked: Looked) -> bool:
    """A claim is a file system of its own, whose sizes the kernel knows; a directory must have been walked."""
    return volume.path in (looked.storage.volumes if volume.claim else looked.storage.sizes)


def _volume(volume: Any, looked: Looked) -> Document:
    moment = timestamp(looked.measured.sample.at)
    system = looked.storage.volumes.get(volume.path)
    if volume.claim and system is not None:
        reference = {"name": volume.claim, "namespace": volume.namespace}
        return {**_file_system(system, moment), "name": volume.name, "pvcRef": reference}
    return {**_part(looked.storage.sizes.get(volume.path), system or looked.storage.node, moment), "name": volume.name}


def _ephemeral(places: PodPlaces, looked: Looked) -> Document:
    """Layers, logs and the directories that end with the pod."""
    paths = [*places.layers.values(), *places.logs.values()]
    paths += [volume.path for volume in places.volumes if not volume.claim and not volume.in_memory]
    total = _sum(looked.storage.sizes.get(path) or DiskUsage() for path in paths)
    return _part(total, looked.storage.node, timestamp(looked.measured.sample.at))


def _sum(sizes: Iterable[DiskUsage]) -> DiskUsage:
    used = list(sizes)
    return DiskUsage(sum(one.used_bytes for one in used), sum(one.inodes for one in used))
