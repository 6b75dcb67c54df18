"""
Who gives way, decided purely.

The kubelet's order: first who uses more than it asked for, then the lowest priority, then who uses most above its
request. Inodes and process ids are not requested, so only priority and use decide there. Pods without which the node
itself would not work never give way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tiphys.api import pods, quantity
from tiphys.node.pressure.thresholds import SIGNALS, Observation, Threshold

Pod = Mapping[str, Any]

CRITICAL_PRIORITY = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Consumer:
    """A pod with what it uses: by resource (memory, ephemeral-storage, inodes, pids), whole and of each container."""

    pod: Pod
    used: Mapping[str, int]
    containers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def victim(consumers: Sequence[Consumer], resource: str) -> Consumer | None:
    """The pod that is to go next; None when none may."""
    eligible = [consumer for consumer in consumers if not is_critical(consumer.pod)]
    if not eligible:
        return None
    return min(eligible, key=lambda consumer: _order(consumer, resource))


def _order(consumer: Consumer, resource: str) -> tuple[bool, int, int]:
    excess = consumer.used.get(resource, 0) - pods.requests_of(consumer.pod).get(resource, 0)
    return (excess <= 0 if resource != "pids" else False, priority_of(consumer.pod), -excess)


def priority_of(pod: Pod) -> int:
    return int(pod["spec"].get("priority") or 0)


def is_critical(pod: Pod) -> bool:
    """Without these the node itself would not work; static pods are the node's own."""
    source = (pod["metadata"].get("annotations") or {}).get("kubernetes.io/config.source", "api")
    return priority_of(pod) >= CRITICAL_PRIORITY or source != "api"


def message(threshold: Threshold, seen: Observation, consumer: Consumer) -> str:
    """As the kubelet words an eviction, with the containers that use more than they asked for."""
    resource = SIGNALS[threshold.signal][1]
    amount = threshold.amount(seen.capacity)
    text = (
        f"The node was low on resource: {resource}. Threshold quantity: {_told(resource, amount)}, "
        f"available: {_told(resource, seen.available)}. "
    )
    for container in consumer.pod["spec"]["containers"]:
        used = (consumer.containers.get(container["name"]) or {}).get(resource, 0)
        asked = ((container.get("resources") or {}).get("requests") or {}).get(resource, 0)
        if used > quantity.value(str(asked)):
            text += (
                f"Container {container['name']} was using {_told(resource, used)}, request is {asked}, "
                f"has larger consumption of {resource}. "
            )
    return text


def _told(resource: str, amount: int) -> str:
    return f"{amount // 1024}Ki" if resource in ("memory", "ephemeral-storage") else str(amount)


def refusal(pod: Pod, pressures: frozenset[str]) -> str:
    """Why a node under pressure does not take a new pod; "" when it does."""
    if not pressures or is_critical(pod):
        return ""
    if pressures == {"memory"}:
        taint = {"key": "node.kubernetes.io/memory-pressure", "effect": "NoSchedule"}
        if pods.qos_class(pod) != "BestEffort" or _tolerates(pod, taint):
            return ""
    words = [{"memory": "MemoryPressure", "disk": "DiskPressure", "pids": "PIDPressure"}[one] for one in pressures]
    return f"The node had condition: [{' '.join(sorted(words))}]. "


def _tolerates(pod: Pod, taint: Mapping[str, str]) -> bool:
    return any(pods.tolerates(toleration, taint) for toleration in pod["spec"].get("tolerations") or ())
