"""
How much processor time is used a second: the difference of two readings, as metrics-server makes it.

Nothing is read unless somebody asks. Whoever asks each second gets the rate over the last `WINDOW_SECONDS`; the first
to ask for a while waits `FIRST_SECONDS` for a second reading. Questions that come together share one reading.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tiphys.aio import clock as clocks
from tiphys.api.objects import parse_timestamp
from tiphys.node.server.doors import PodUsage

# Long enough that a burst of some milliseconds is no load, short enough that a load is seen while it is new.
WINDOW_SECONDS = 2.5
FIRST_SECONDS = 0.3
# A reading that is younger is good for the next question, too.
FRESH_SECONDS = 0.3
# What is older says nothing about now.
KEPT_SECONDS = 20.0
# A rate over less than this is noise.
LEAST_SECONDS = 0.1
MACHINE = ""


@dataclass(frozen=True, slots=True)
class Rate:
    """`nano_cores` over the `window_seconds` before `at`."""

    nano_cores: int
    window_seconds: float
    at: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading: counters of processor time by id (`MACHINE` is the whole machine), and when each was read."""

    at: float
    pods: Sequence[PodUsage]
    cpu: Mapping[str, tuple[int, float]]
    brief: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """The newest sample and its rates by id; an id that is too young for one has none."""

    sample: Sample
    rates: Mapping[str, Rate] = field(default_factory=dict)


Read = Callable[[bool], Awaitable[Sequence[PodUsage]]]


class Rates:
    """`read(brief)` gives what the pods use, `busy()` the nanoseconds that all processors have worked."""

    def __init__(self, read: Read, busy: Callable[[], int], now: clocks.Clock = clocks.system) -> None:
        self._read = read
        self._busy = busy
        self._now = now
        self._samples: deque[Sample] = deque()
        self._turn = asyncio.Lock()

    async def measure(self, *, brief: bool = False) -> Measured:
        """What is used now. `brief` leaves out what takes more files to find out."""
        async with self._turn:
            newest = self._samples[-1] if self._samples else None
            if newest is None or self._now() - newest.at > KEPT_SECONDS:
                self._samples.clear()
                await self._take(brief=True)
                await asyncio.sleep(FIRST_SECONDS)
                newest = None
            if newest is None or self._now() - newest.at >= FRESH_SECONDS or (newest.brief and not brief):
                newest = await self._take(brief=brief)
            return Measured(newest, rates(newest, self._before(newest)))

    async def _take(self, *, brief: bool) -> Sample:
        pods = await self._read(brief)
        at = self._now()
        cpu = {MACHINE: (self._busy(), at)}
        for pod in pods:
            cpu[pod.id] = pod.whole.cpu_ns, pod.whole.at
            cpu |= {run.id: (run.usage.cpu_ns, run.usage.at) for run in pod.containers.values()}
        sample = Sample(at, pods, cpu, brief)
        self._samples.append(sample)
        while self._samples[0].at < at - KEPT_SECONDS:
            self._samples.popleft()
        return sample

    def _before(self, newest: Sample) -> Sample:
        """The youngest reading that is a window older, else the oldest."""
        old = [sample for sample in self._samples if sample.at <= newest.at - WINDOW_SECONDS]
        return old[-1] if old else self._samples[0]


def rates(newest: Sample, before: Sample) -> dict[str, Rate]:
    """The rates between two readings; what began since then is measured from its start. Pure."""
    starts = {run.id: run.started_at for pod in newest.pods for run in pod.containers.values()}
    starts |= {pod.id: started for pod in newest.pods if (started := _start_of(pod))}
    found = {}
    for name, (used, at) in newest.cpu.items():
        earlier, since = before.cpu.get(name) or (0, starts.get(name) or at)
        window = at - since
        if window >= LEAST_SECONDS and used >= earlier:
            found[name] = Rate(int((used - earlier) / window), window, at)
    return found


def _start_of(pod: PodUsage) -> float:
    """When a pod began here; 0.0 where that is not known yet."""
    text = (pod.pod.get("status") or {}).get("startTime")
    return parse_timestamp(text) if text else 0.0


def document(measured: Measured, memory_bytes: int) -> dict[str, Any]:
    """What the API server is told: rates and memory of the machine and of each container, without words to spare."""
    machine = measured.rates.get(MACHINE)
    return {
        "node": _figures(machine, memory_bytes) if machine is not None else None,
        "pods": [
            {
                "namespace": pod.pod["metadata"]["namespace"],
                "name": pod.pod["metadata"]["name"],
                "uid": pod.pod["metadata"]["uid"],
                "containers": {
                    name: _figures(rate, run.usage.memory_working_set_bytes)
                    for name, run in pod.containers.items()
                    if (rate := measured.rates.get(run.id)) is not None
                },
                "running": len(pod.containers),
            }
            for pod in measured.sample.pods
        ],
    }


def _figures(rate: Rate, memory_bytes: int) -> dict[str, Any]:
    return {"at": rate.at, "window": rate.window_seconds, "nanoCores": rate.nano_cores, "memory": memory_bytes}
