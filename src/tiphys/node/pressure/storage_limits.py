"""Pods that take more of the node's disk than they may: emptyDir's sizeLimit, and limits of ephemeral-storage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api import pods, quantity
from tiphys.node.pressure.disk_usage import PodDiskUsage
from tiphys.runtime.disk_usage import DiskUsage

Pod = Mapping[str, Any]

RESOURCE = "ephemeral-storage"


def volumes_on_disk(pod: Pod) -> list[Mapping[str, Any]]:
    """The emptyDir volumes that are no tmpfs; those keep their limits by themselves."""
    return [
        v for v in pod["spec"].get("volumes") or () if v.get("emptyDir") is not None and not v["emptyDir"].get("medium")
    ]


def is_limited(pod: Pod) -> bool:
    """Whether there is anything to look after."""
    volumes = any(volume["emptyDir"].get("sizeLimit") for volume in volumes_on_disk(pod))
    return volumes or bool(_limits(pod)) or RESOURCE in pods.limits_of(pod)


def _limits(pod: Pod) -> dict[str, str]:
    limits = {
        c["name"]: ((c.get("resources") or {}).get("limits") or {}).get(RESOURCE) for c in pod["spec"]["containers"]
    }
    return {name: str(limit) for name, limit in limits.items() if limit}


def outgrown(pod: Pod, taken: PodDiskUsage) -> str:
    """The text of the eviction, as the kubelet words it; "" while every limit is kept."""
    for volume in volumes_on_disk(pod):
        limit = str(volume["emptyDir"].get("sizeLimit") or "")
        used = taken.volumes.get(volume["name"], DiskUsage()).used_bytes
        if limit and used > quantity.value(limit) > 0:
            return f'Usage of EmptyDir volume "{volume["name"]}" exceeds the limit "{limit}". '
    limits = _limits(pod)
    # The whole pod is bounded only when each of its containers is.
    whole = pods.limits_of(pod).get(RESOURCE, 0) if len(limits) == len(pod["spec"]["containers"]) else 0
    if 0 < whole < taken.total.used_bytes:
        shown = quantity.canonical(str(whole))
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {shown}. "
    for name, limit in limits.items():
        if name in taken.containers and taken.containers[name].used_bytes > quantity.value(limit):
            return f'Container {name} exceeded its local ephemeral storage limit "{limit}". '
    return ""
