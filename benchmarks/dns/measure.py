"""DNS on one core: answers per second of the server's processor time, over UDP."""

from __future__ import annotations

from benchmarks.dns.run import measured
from benchmarks.frame import Figure

SECONDS = 3.0


def measure() -> list[Figure]:
    _, per_core = measured(SECONDS)
    return [Figure("DNS, answers on one core", per_core, 30_000, "/s", kubernetes=17_000)]
