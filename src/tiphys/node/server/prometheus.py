"""`/metrics/resource` and `/metrics/cadvisor`: the same readings, under the names that dashboards know. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tiphys.node.server.doors import PodUsage, RunUsage, VolumePlace
from tiphys.node.server.readings import FileSystem, Interface, Machine
from tiphys.runtime.door import Usage

# name, labels, value, and the time it was read at (Unix seconds; 0.0 for none)
Sample = tuple[str, Mapping[str, str], float, float]
Object = Mapping[str, Any]

COUNTERS = ("_total",)


@dataclass(slots=True)
class _Text:
    """Samples gathered by metric, since all of one metric must stand together."""

    samples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, name: str, labels: Mapping[str, str], value: float, at: float = 0.0) -> None:
        shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        moment = f" {int(at * 1000)}" if at else ""
        line = f"{name}{{{shown}}} {value:.10g}{moment}" if shown else f"{name} {value:.10g}{moment}"
        self.samples.setdefault(name, []).append(line)

    def bytes(self) -> bytes:
        lines = []
        for name, listed in self.samples.items():
            lines.append(f"# TYPE {name} {'counter' if name.endswith(COUNTERS) else 'gauge'}")
            lines += listed
        return ("\n".join(lines) + "\n").encode()


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def resource(pods: Sequence[PodUsage], machine: Machine, now: float) -> bytes:
    """What metrics-server reads."""
    text = _Text()
    for pod in pods:
        named = _names(pod.pod)
        for name, run in pod.containers.items():
            labels = {"container": name, **named}
            text.add("container_cpu_usage_seconds_total", labels, run.usage.cpu_ns / 1e9, run.usage.at)
            text.add("container_memory_working_set_bytes", labels, run.usage.memory_working_set_bytes, run.usage.at)
            text.add("container_start_time_seconds", labels, run.started_at)
            text.add("container_swap_usage_bytes", labels, run.usage.swap_bytes, run.usage.at)
        text.add("pod_cpu_usage_seconds_total", named, pod.whole.cpu_ns / 1e9, pod.whole.at)
        text.add("pod_memory_working_set_bytes", named, pod.whole.memory_working_set_bytes, pod.whole.at)
        text.add("pod_swap_usage_bytes", named, pod.whole.swap_bytes, pod.whole.at)
    swap = machine.memory.get("SwapTotal", 0) - machine.memory.get("SwapFree", 0)
    text.add("node_cpu_usage_seconds_total", {}, machine.cpu_ns / 1e9, now)
    text.add("node_memory_working_set_bytes", {}, machine.used_bytes, now)
    text.add("node_swap_usage_bytes", {}, swap, now)
    text.add("resource_scrape_error", {}, 0)
    return text.bytes()


def cadvisor(
    pods: Sequence[PodUsage], networks: Mapping[str, Sequence[Interface]], machine: Machine, processors: int
) -> bytes:
    """What dashboards of containers read: each container, and under an empty container name each pod as a whole."""
    text = _Text()
    text.add("machine_cpu_cores", {}, processors)
    text.add("machine_memory_bytes", {}, machine.memory["MemTotal"])
    for pod in pods:
        named = _names(pod.pod)
        whole = {"container": "", "id": f"/pod{pod.id}", "image": "", "name": "", **named}
        _usage(text, whole, pod.whole)
        for one in networks.get(pod.pod["metadata"]["uid"], ()):
            _interface(text, {**whole, "interface": one.name}, one)
        images = _images(pod.pod)
        for name, run in pod.containers.items():
            labels = {"container": name, "id": f"/pod{pod.id}/{run.id}", "image": images.get(name, ""), "name": run.id}
            _container(text, {**labels, **named}, run)
    return text.bytes()


def volumes(claimed: Sequence[VolumePlace], systems: Mapping[str, FileSystem]) -> bytes:
    """How full claims are, for those who warn before they are."""
    text = _Text()
    for volume in claimed:
        found = systems.get(volume.path)
        if found is None:
            continue
        labels = {"namespace": volume.namespace, "persistentvolumeclaim": volume.claim}
        for name, value in (
            ("capacity_bytes", found.capacity),
            ("available_bytes", found.available),
            ("used_bytes", found.used),
            ("inodes", found.inodes),
            ("inodes_free", found.inodes_free),
            ("inodes_used", found.inodes - found.inodes_free),
        ):
            text.add(f"kubelet_volume_stats_{name}", labels, value)
    return text.bytes() if text.samples else b""


def _container(text: _Text, labels: Mapping[str, str], run: RunUsage) -> None:
    _usage(text, labels, run.usage)
    text.add("container_start_time_seconds", labels, run.started_at)
    text.add("container_last_seen", labels, run.usage.at)


def _usage(text: _Text, labels: Mapping[str, str], usage: Usage) -> None:
    text.add("container_cpu_usage_seconds_total", {**labels, "cpu": "total"}, usage.cpu_ns / 1e9, usage.at)
    if usage.periods:
        text.add("container_cpu_cfs_periods_total", labels, usage.periods, usage.at)
        text.add("container_cpu_cfs_throttled_periods_total", labels, usage.throttled_periods, usage.at)
        text.add("container_cpu_cfs_throttled_seconds_total", labels, usage.throttled_ns / 1e9, usage.at)
    for name, value in (
        ("container_memory_usage_bytes", usage.memory_usage_bytes),
        ("container_memory_working_set_bytes", usage.memory_working_set_bytes),
        ("container_memory_rss", usage.memory_rss_bytes),
        ("container_memory_cache", usage.memory_cache_bytes),
        ("container_memory_swap", usage.swap_bytes),
        ("container_spec_memory_limit_bytes", usage.memory_limit_bytes),
        ("container_processes", usage.pids),
    ):
        text.add(name, labels, value, usage.at)
    for failure, count in (("pgfault", usage.page_faults), ("pgmajfault", usage.major_page_faults)):
        kinds = {"failure_type": failure, "scope": "hierarchy"}
        text.add("container_memory_failures_total", {**labels, **kinds}, count, usage.at)
    for kind, lines in usage.pressure.items():
        for which, word in (("some", "waiting"), ("full", "stalled")):
            if which in lines:
                name = f"container_pressure_{kind}_{word}_seconds_total"
                text.add(name, labels, lines[which]["total"] / 1e6, usage.at)


def _interface(text: _Text, labels: Mapping[str, str], one: Interface) -> None:
    text.add("container_network_receive_bytes_total", labels, one.received_bytes)
    text.add("container_network_receive_errors_total", labels, one.received_errors)
    text.add("container_network_transmit_bytes_total", labels, one.sent_bytes)
    text.add("container_network_transmit_errors_total", labels, one.sent_errors)


def _names(pod: Object) -> dict[str, str]:
    return {"namespace": pod["metadata"]["namespace"], "pod": pod["metadata"]["name"]}


def _images(pod: Object) -> dict[str, str]:
    spec = pod["spec"]
    everything: Iterable[Object] = (*spec["containers"], *(spec.get("initContainers") or ()))
    return {one["name"]: one.get("image", "") for one in everything}
