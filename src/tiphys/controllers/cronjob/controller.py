"""Gather a CronJob's facts and perform its plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.api import cron
from tiphys.api.objects import key_of, uid_of
from tiphys.controllers.cronjob.due import zone_of
from tiphys.controllers.cronjob.plan import CRON_JOBS, JOBS, LATER_SECONDS, plan
from tiphys.reconcile.commands import Command, Performed, Say
from tiphys.reconcile.loop import Key, Loop, controller_key, own_key
from tiphys.reconcile.ownership import BY_CONTROLLER, controller_index
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

UNEXPECTED = "UnexpectedJob"


class CronJobController:
    """Writes Jobs of CronJobs, and the status of CronJobs. Where no time zone is said, the clock is UTC's."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._cronjobs = tools.informers.of(CRON_JOBS)
        self._jobs = tools.informers.of(JOBS)
        self._jobs.add_index(BY_CONTROLLER, controller_index)
        # Unexpected Jobs of each CronJob that were complained about.
        self._told: dict[Key, set[str]] = {}
        sources = {self._cronjobs: self._keys, self._jobs: controller_key("CronJob")}
        self._loop = Loop("cronjob-controller", self._reconcile, sources)

    async def run(self) -> None:
        await self._loop.run()

    def _keys(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        """A new schedule begins with its next time: one that it would have missed is none that it was asked for."""
        if old is None or new is None or _schedule(old) == _schedule(new) or new["spec"].get("suspend"):
            yield from own_key(old, new)
            return
        now = self._tools.now()
        following = _following(new, now)
        if following is not None:
            self._loop.queue.add_after(key_of(new), following - now + LATER_SECONDS)

    async def _reconcile(self, key: Key) -> Performed | None:
        cronjob = self._cronjobs.get(*key)
        if cronjob is None:
            self._told.pop(key, None)
            return None
        jobs = list(self._jobs.by(BY_CONTROLLER, uid_of(cronjob)))
        told = self._told.get(key, set())
        commands = plan(cronjob, jobs, self._tools.now(), told)
        self._remember(key, jobs, commands)
        return await self._tools.perform(commands)

    def _remember(self, key: Key, jobs: Iterable[Object], commands: Iterable[Command]) -> None:
        if any(isinstance(command, Say) and command.reason == UNEXPECTED for command in commands):
            self._told[key] = {uid_of(job) for job in jobs}


def _schedule(cronjob: Object) -> tuple[str, str | None]:
    return cronjob["spec"]["schedule"], cronjob["spec"].get("timeZone")


def _following(cronjob: Object, now: float) -> float | None:
    """When it is due next; at once where that cannot be told, so that the plan says why."""
    try:
        return cron.parse(cronjob["spec"]["schedule"]).after(now, zone_of(cronjob["spec"].get("timeZone") or ""))
    except ValueError:
        return now
