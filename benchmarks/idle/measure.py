"""
A cluster with its node and nothing to do, then with 110 pods that do nothing: memory and processor time of its one
process, and what it costs to be looked at each second.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.frame import Figure
from benchmarks.machine import PODS, Api, Cluster, Pods, cluster, sleeping_pod

SETTLE_SECONDS, SECONDS = 5.0, 10.0
PODS_COUNT = 110
METRICS = "/apis/metrics.k8s.io/v1beta1/pods"
SUMMARY = "/api/v1/nodes/bench/proxy/stats/summary"


def measure() -> list[Figure]:
    with cluster() as running:
        time.sleep(SETTLE_SECONDS)
        idle = _share(running.pid)
        held = _resident_mb(running.pid)
        _fill(running)
        time.sleep(SETTLE_SECONDS)
        more, grown = _share(running.pid) - idle, _resident_mb(running.pid) - held
        with _asking(running, METRICS):
            metrics = _share(running.pid) - idle
        with _asking(running, SUMMARY):
            summary = _share(running.pid) - idle
    several = f"{PODS_COUNT} idle pods"
    return [
        Figure("idle memory of a cluster with its node (RSS)", held, 120, "MB", 599, at_most=True),
        Figure("idle CPU of a cluster with its node", idle, 1, "%", at_most=True),
        Figure(f"{several}: CPU above idle", more, 3, "%", at_most=True),
        Figure(f"{several}: memory above idle", grown, 30, "MB", at_most=True),
        Figure(f"{several}, metrics.k8s.io asked each second: CPU", metrics, 5, "%", at_most=True),
        Figure(f"{several}, the Summary API asked each second: CPU", summary, 10, "%", at_most=True),
    ]


def _fill(running: Cluster) -> None:
    """All pods Ready; with memory that went to their making given back as far as it ever is."""
    api, pods = Api(running), Pods(running)
    names = [f"idle-{number}" for number in range(PODS_COUNT)]
    for name in names:
        api.call("POST", PODS, sleeping_pod(name))
    pods.wait(lambda: len(pods.ready) == len(names))


@contextmanager
def _asking(running: Cluster, path: str) -> Iterator[None]:
    """Somebody who looks each second."""
    over = threading.Event()

    def ask() -> None:
        api = Api(running)
        while not over.wait(1.0):
            api.call("GET", path)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        over.set()
        asking.join()


def _share(pid: int) -> float:
    """The percentage of one core that a process uses for a while."""
    before = _used_seconds(pid)
    time.sleep(SECONDS)
    return (_used_seconds(pid) - before) / SECONDS * 100


def _used_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mb(pid: int) -> float:
    """With that of its children, if it has any."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    whole = sum(_resident_mb(int(child)) for child in children)
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return whole + (int(found[1]) / 1024 if found else 0.0)
