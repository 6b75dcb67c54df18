"""`tiphys serve --no-node` with its controllers: from the command to ready, on an empty directory."""

from __future__ import annotations

from benchmarks.frame import Figure, server

RUNS = 5


def measure() -> list[Figure]:
    return [Figure("serve --no-node → ready, nothing stored", min(_start() for _ in range(RUNS)), 0.5, "s", 1.5, True)]


def _start() -> float:
    with server("--no-node") as started:
        return started.ready_seconds
