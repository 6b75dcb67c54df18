"""
The probes of one run of a container: startup first, then liveness and readiness side by side.

The first check comes as soon as the container runs (or its initial delay is over). A program needs some milliseconds to
open its port, so startup and readiness checks are repeated quickly, with growing pauses, until they pass once or the
first period is over; only then does a failure count. After that each check has its period, as Kubernetes has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tiphys.node.probes.checks import Subject, check
from tiphys.node.probes.outcome import Outcome, Tally, Timing, timing_of

QUICK_FIRST_SECONDS = 0.004
QUICK_GROWTH = 1.6
# An exec check starts a process each time.
QUICK_EXEC_FIRST_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Report:
    """Where results go: `started()`, `ready(bool)`, `failed(kind, probe)`, `note(text)` for Unhealthy events."""

    started: Callable[[], None]
    ready: Callable[[bool], None]
    failed: Callable[[str, Mapping[str, Any]], None]
    note: Callable[[str, Outcome], None]


class Prober:
    """`run()` returns when there is nothing more to probe."""

    def __init__(self, subject: Subject, report: Report) -> None:
        self._subject = subject
        self._report = report

    async def run(self, *, already_started: bool = False) -> None:
        container = self._subject.container
        if not already_started:
            if container.get("startupProbe") and not await self._startup(container["startupProbe"]):
                return
            self._report.started()
        liveness, readiness = container.get("livenessProbe"), container.get("readinessProbe")
        if not readiness:
            self._report.ready(True)
        async with asyncio.TaskGroup() as group:
            if readiness:
                group.create_task(self._readiness(readiness, already_started=already_started))
            if liveness:
                group.create_task(self._liveness(liveness))

    async def _startup(self, probe: Mapping[str, Any]) -> bool:
        timing = timing_of(probe)
        tally = Tally(timing)
        await asyncio.sleep(timing.initial_delay_seconds)
        verdict = tally.add(passed=await self._quick("Startup", probe, timing))
        while verdict is None:
            await asyncio.sleep(timing.period_seconds)
            verdict = tally.add(passed=await self._once("Startup", probe, timing))
        if not verdict:
            self._report.failed("startup", probe)
        return verdict

    async def _readiness(self, probe: Mapping[str, Any], *, already_started: bool) -> None:
        timing = timing_of(probe)
        tally = Tally(timing)
        if already_started:
            passed = await self._once("Readiness", probe, timing)
        else:
            await asyncio.sleep(timing.initial_delay_seconds)
            passed = await self._quick("Readiness", probe, timing)
        while True:
            verdict = tally.add(passed=passed)
            if verdict is not None:
                self._report.ready(verdict)
            await asyncio.sleep(timing.period_seconds)
            passed = await self._once("Readiness", probe, timing)

    async def _liveness(self, probe: Mapping[str, Any]) -> None:
        timing = timing_of(probe)
        tally = Tally(timing)
        # A program that cannot answer yet is not dead: the first check waits as long as Kubernetes' would.
        await asyncio.sleep(timing.initial_delay_seconds or timing.period_seconds)
        verdict = None
        while verdict is not False:
            verdict = tally.add(passed=await self._once("Liveness", probe, timing))
            await asyncio.sleep(timing.period_seconds if verdict is not False else 0)
        self._report.failed("liveness", probe)

    async def _quick(self, kind: str, probe: Mapping[str, Any], timing: Timing) -> bool:
        """Repeat until it passes or the first period is over; only the last outcome counts."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timing.period_seconds
        pause = QUICK_EXEC_FIRST_SECONDS if probe.get("exec") else QUICK_FIRST_SECONDS
        while loop.time() + pause < until:
            outcome = await check(self._subject, probe, timing.timeout_seconds)
            if outcome.passed:
                return True
            await asyncio.sleep(min(pause, max(until - loop.time(), 0)))
            pause *= QUICK_GROWTH
        await asyncio.sleep(max(until - loop.time(), 0))
        return await self._once(kind, probe, timing)

    async def _once(self, kind: str, probe: Mapping[str, Any], timing: Timing) -> bool:
        outcome = await check(self._subject, probe, timing.timeout_seconds)
        if not outcome.passed or outcome.warning:
            self._report.note(kind, outcome)
        return outcome.passed
