"""`/stats/summary`: what the machine and each pod use, in Kubernetes' words."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiphys.api.objects import timestamp
from tiphys.node.server.doors import PodUsage
from tiphys.runtime.door import Usage

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Machine:
    """Counters of the whole machine."""

    cpu_ns: int
    memory_total_bytes: int
    memory_available_bytes: int
    booted_at: float


def read_machine(proc: Path = Path("/proc")) -> Machine:
    """Busy time of all CPUs since boot; memory as the kernel estimates it."""
    words = (proc / "stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _, _, irq, soft_irq, steal = (int(word) for word in words[:8])
    ticks = user + nice + system + irq + soft_irq + steal
    memory = {}
    for line in (proc / "meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        memory[name] = int(value.split()[0]) * 1024
    booted_at = time.time() - float((proc / "uptime").read_text().split()[0])
    cpu_ns = ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    return Machine(cpu_ns, memory["MemTotal"], memory["MemAvailable"], booted_at)


def summary(node_name: str, machine: Machine, usages: Sequence[PodUsage], now: float) -> Document:
    moment = timestamp(now)
    used = machine.memory_total_bytes - machine.memory_available_bytes
    return {
        "node": {
            "nodeName": node_name,
            "startTime": timestamp(machine.booted_at),
            "cpu": {"time": moment, "usageCoreNanoSeconds": machine.cpu_ns},
            "memory": {
                "time": moment,
                "availableBytes": machine.memory_available_bytes,
                "usageBytes": used,
                "workingSetBytes": used,
            },
        },
        "pods": [_pod(usage, moment) for usage in usages],
    }


def _pod(usage: PodUsage, moment: str) -> Document:
    meta = usage.pod["metadata"]
    return {
        "podRef": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
        "startTime": (usage.pod.get("status") or {}).get("startTime"),
        "containers": [{"name": name, **_figures(run.usage, moment)} for name, run in usage.containers.items()],
        **_figures(usage.whole, moment),
        "process_stats": {"process_count": usage.whole.pids},
    }


def _figures(usage: Usage, moment: str) -> Document:
    return {
        "cpu": {"time": moment, "usageCoreNanoSeconds": usage.cpu_ns},
        "memory": {
            "time": moment,
            "workingSetBytes": usage.memory_working_set_bytes,
            "rssBytes": usage.memory_rss_bytes,
        },
    }
