"""
Requests and limits as cgroup values, by the kubelet's formulas. Pure.

A pod's cgroup lies below its QoS class (`burstable/pod<uid>`, `besteffort/pod<uid>`, guaranteed ones at the top), so
that a class as a whole gives way first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api import pods, quantity
from tiphys.node.pod import spec
from tiphys.runtime.door import Resources

Pod = Mapping[str, Any]
Container = Mapping[str, Any]

SHARES_MIN, SHARES_MAX = 2, 262_144
PERIOD_US = 100_000
QUOTA_US_MIN = 1_000

GUARANTEED_SCORE = -997
BEST_EFFORT_SCORE = 1_000
SYSTEM_CRITICAL_PRIORITY = 2_000_000_000


def cpu_shares(milli_cpu: int) -> int:
    return min(max(milli_cpu * 1024 // 1000, SHARES_MIN), SHARES_MAX)


def cpu_quota_us(milli_cpu: int) -> int:
    return max(milli_cpu * PERIOD_US // 1000, QUOTA_US_MIN) if milli_cpu else 0


def container_resources(container: Container, pids_limit: int = 0) -> Resources:
    """The limits of one container's cgroup."""
    resources = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    limit_cpu = _milli(limits.get("cpu"))
    requested_cpu = _milli(requests["cpu"]) if "cpu" in requests else limit_cpu
    pages = {name.removeprefix("hugepages-"): _value(v) for name, v in limits.items() if name.startswith("hugepages-")}
    return Resources(
        cpu_shares=cpu_shares(requested_cpu),
        cpu_quota_us=cpu_quota_us(limit_cpu),
        cpu_period_us=PERIOD_US,
        memory_limit_bytes=_value(limits.get("memory")),
        pids_limit=pids_limit,
        hugepages=pages,
    )


def pod_resources(pod: Pod, pids_limit: int = 0) -> Resources:
    """The limits of the pod's cgroup: a limit holds only if every container has one."""
    own = pod["spec"].get("resources") or {}
    requested = pods.requests_of(pod)
    own_requests, own_limits = own.get("requests") or {}, own.get("limits") or {}
    cpu = _milli(own_requests["cpu"]) if "cpu" in own_requests else requested.get("cpu", 0)
    limit_cpu = _milli(own_limits["cpu"]) if "cpu" in own_limits else _limit_of(pod, "cpu")
    memory = _value(own_limits["memory"]) if "memory" in own_limits else _limit_of(pod, "memory")
    return Resources(
        cpu_shares=SHARES_MIN if pods.qos_class(pod) == "BestEffort" else cpu_shares(cpu),
        cpu_quota_us=cpu_quota_us(limit_cpu),
        cpu_period_us=PERIOD_US,
        memory_limit_bytes=memory,
        pids_limit=pids_limit,
    )


def _limit_of(pod: Pod, name: str) -> int:
    """The effective limit of the pod; 0 where a container has none."""
    read = _milli if name == "cpu" else _value

    def limit(container: Container) -> int:
        return read(((container.get("resources") or {}).get("limits") or {}).get(name))

    if not all(limit(container) for container in spec.all_containers(pod)):
        return 0
    sidecars = sum(limit(c) for c in spec.init_containers(pod) if spec.is_sidecar(c))
    mains = sum(limit(c) for c in spec.main_containers(pod)) + sidecars
    inits = [limit(c) + sidecars for c in spec.init_containers(pod) if not spec.is_sidecar(c)]
    overhead = read((pod["spec"].get("overhead") or {}).get(name))
    return max([mains, *inits]) + overhead


def cgroup_of(pod: Pod) -> str:
    """Below the runtime's root."""
    name = f"pod{pod['metadata']['uid']}"
    qos = pods.qos_class(pod)
    return name if qos == "Guaranteed" else f"{qos.lower()}/{name}"


def oom_score_adj(pod: Pod, container: Container, memory_capacity: int) -> int:
    """Who is killed first when memory runs out: what uses much more than it asked for."""
    qos = pods.qos_class(pod)
    if qos == "Guaranteed" or (pod["spec"].get("priority") or 0) >= SYSTEM_CRITICAL_PRIORITY:
        return GUARANTEED_SCORE
    if qos == "BestEffort":
        return BEST_EFFORT_SCORE
    if spec.is_sidecar(container):
        # Never before those that it serves.
        requested = max(_memory_requested(pod, one) for one in (container, *spec.main_containers(pod)))
    else:
        requested = _memory_requested(pod, container)
    score = 1000 - 1000 * requested // max(memory_capacity, 1)
    return min(max(score, 1000 + GUARANTEED_SCORE), BEST_EFFORT_SCORE - 1)


def _memory_requested(pod: Pod, container: Container) -> int:
    """What a container asks for, with its share of what the pod as a whole asks for beyond its containers."""
    own = _value(((container.get("resources") or {}).get("requests") or {}).get("memory"))
    whole = ((pod["spec"].get("resources") or {}).get("requests") or {}).get("memory")
    if whole is None:
        return own
    sharing = [c for c in spec.all_containers(pod) if c in spec.main_containers(pod) or spec.is_sidecar(c)]
    asked = sum(_value(((c.get("resources") or {}).get("requests") or {}).get("memory")) for c in sharing)
    return own + max(_value(whole) - asked, 0) // len(sharing)


def _milli(text: Any) -> int:
    return quantity.milli(str(text)) if text is not None else 0


def _value(text: Any) -> int:
    return quantity.value(str(text)) if text is not None else 0
