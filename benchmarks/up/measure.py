"""`tiphys up` on an empty directory, until it gives the prompt back: the node is Ready and kubectl has its context."""

from __future__ import annotations

from benchmarks.frame import Figure
from benchmarks.machine import cluster

RUNS = 3


def measure() -> list[Figure]:
    return [Figure("tiphys up → node Ready, the command over", min(_up() for _ in range(RUNS)), 1.5, "s", 2.8, True)]


def _up() -> float:
    with cluster() as running:
        return running.up_seconds
