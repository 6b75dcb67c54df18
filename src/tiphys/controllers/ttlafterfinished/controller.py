"""Gather a finished Job's facts and perform its plan."""

from __future__ import annotations

from tiphys.api.errors import StatusError
from tiphys.controllers.ttlafterfinished.plan import JOBS, plan
from tiphys.reconcile.commands import Delete, Performed
from tiphys.reconcile.loop import Key, Loop, own_key
from tiphys.reconcile.tools import Tools


class TtlAfterFinishedController:
    """Deletes finished Jobs."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._jobs = tools.informers.of(JOBS)
        self._loop = Loop("ttl-after-finished-controller", self._reconcile, {self._jobs: own_key})

    async def run(self) -> None:
        await self._loop.run()

    async def _reconcile(self, key: Key) -> Performed | None:
        job = self._jobs.get(*key)
        if job is None:
            return None
        commands = plan(job, self._tools.now())
        if any(isinstance(command, Delete) for command in commands):
            # Somebody may have given it more time, which our cache may not show yet.
            try:
                commands = plan(await self._tools.client.get(JOBS, key[1], key[0]), self._tools.now())
            except StatusError as error:
                if error.code == 404:
                    return None
                raise
        return await self._tools.perform(commands)
