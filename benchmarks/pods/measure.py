"""Pods whose image is present: from sending the create to the watch telling of Ready. One by one; 50 at once."""

from __future__ import annotations

import time

from benchmarks.frame import Figure
from benchmarks.machine import PODS, Api, Cluster, Pods, cluster, sleeping_pod

ONE_BY_ONE, AT_ONCE, BURSTS = 40, 50, 2


def measure() -> list[Figure]:
    with cluster() as running:
        delays = sorted(_one_by_one(running))
        rate = max(_at_once(running, f"burst{number}") for number in range(BURSTS))
    median, p99 = delays[len(delays) // 2] * 1000, delays[int(len(delays) * 0.99)] * 1000
    return [
        Figure("pod create → Ready, one at a time, p50", median, 60, "ms", 487, at_most=True),
        Figure("pod create → Ready, one at a time, p99", p99, 150, "ms", at_most=True),
        Figure(f"{AT_ONCE} pods at once, all Ready", rate, 40, "/s", 7.5),
    ]


def _one_by_one(running: Cluster) -> list[float]:
    """Seconds for each pod; the one before is gone by then."""
    api, pods, delays = Api(running), Pods(running), []
    for number in range(ONE_BY_ONE):
        name = f"one-{number}"
        sent = time.perf_counter()
        api.call("POST", PODS, sleeping_pod(name))
        pods.wait(lambda name=name: name in pods.ready)  # type: ignore[misc]
        delays.append(pods.ready[name] - sent)
        api.call("DELETE", f"{PODS}/{name}")
        pods.wait(lambda name=name: name in pods.gone)  # type: ignore[misc]
    return delays


def _at_once(running: Cluster, prefix: str) -> float:
    """Pods a second until the last is Ready."""
    api, pods = Api(running), Pods(running)
    names = {f"{prefix}-{number}" for number in range(AT_ONCE)}
    sent = time.perf_counter()
    for name in names:
        api.call("POST", PODS, sleeping_pod(name))
    pods.wait(lambda: names <= pods.ready.keys())
    rate = AT_ONCE / (max(pods.ready[name] for name in names) - sent)
    for name in names:
        api.call("DELETE", f"{PODS}/{name}")
    pods.wait(lambda: names <= pods.gone)
    return rate
