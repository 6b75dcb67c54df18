"""A cluster with its node and nothing to do: the memory and the processor time of its one process."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from benchmarks.frame import Figure
from benchmarks.machine import cluster

SETTLE_SECONDS, SECONDS = 5.0, 10.0


def measure() -> list[Figure]:
    with cluster() as running:
        time.sleep(SETTLE_SECONDS)
        before = _used_seconds(running.pid)
        time.sleep(SECONDS)
        used = (_used_seconds(running.pid) - before) / SECONDS * 100
        held = _resident_mb(running.pid)
    return [
        Figure("idle memory of a cluster with its node (RSS)", held, 120, "MB", 599, at_most=True),
        Figure("idle CPU of a cluster with its node", used, 1, "%", at_most=True),
    ]


def _used_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mb(pid: int) -> float:
    """With that of its children, if it has any."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    whole = sum(_resident_mb(int(child)) for child in children)
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return whole + (int(found[1]) / 1024 if found else 0.0)
