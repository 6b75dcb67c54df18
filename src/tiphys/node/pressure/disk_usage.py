"""What a pod takes on the node's disk: the writable layers of its containers, its logs, its emptyDir directories."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tiphys.runtime.disk_usage import DiskUsage, measure


@dataclass(frozen=True, slots=True)
class Places:
    """Where a pod's files lie: by container its layer and logs, by volume the directory."""

    layers: Mapping[str, Path] = field(default_factory=dict)
    logs: Mapping[str, Path] = field(default_factory=dict)
    volumes: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PodDiskUsage:
    """`containers` are layers and logs together, as limits mean them."""

    containers: Mapping[str, DiskUsage]
    volumes: Mapping[str, DiskUsage]

    @property
    def total(self) -> DiskUsage:
        return _sum([*self.containers.values(), *self.volumes.values()])


def of_pod(places: Places) -> PodDiskUsage:
    """Walks the directories: not for an event loop's thread."""
    parts = (places.layers, places.logs)
    containers = {
        name: _sum(measure(str(part[name])) for part in parts if name in part)
        for name in {*places.layers, *places.logs}
    }
    return PodDiskUsage(containers, {name: measure(str(path)) for name, path in places.volumes.items()})


def _sum(usages: Iterable[DiskUsage]) -> DiskUsage:
    known = list(usages)
    return DiskUsage(sum(one.used_bytes for one in known), sum(one.inodes for one in known))
