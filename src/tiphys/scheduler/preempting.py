"""Make room as was decided: victims are told why and end with their grace period, and less important promises end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from tiphys.api.errors import StatusError
from tiphys.api.objects import is_deleting, key_of, uid_of
from tiphys.client.client import Client
from tiphys.scheduler.ledger import Placed
from tiphys.scheduler.preemption import Candidate
from tiphys.scheduler.reports import PODS, Reports
from tiphys.scheduler.state import State, priority_of

Object = dict[str, Any]

log = logging.getLogger(__name__)


class Preemptor:
    """Performs what `preemption.preempt` answers. `retry` lets a pod look for another place."""

    def __init__(
        self, client: Client, reports: Reports, state: State, retry: Callable[[tuple[str, str]], None]
    ) -> None:
        self._client = client
        self._reports = reports
        self._state = state
        self._retry = retry

    async def make_room(self, pod: Object, candidate: Candidate) -> bool:
        """Delete the victims. False if the API refused: then the pod is to be tried again."""
        for promised in self._state.nominations.below(candidate.node, priority_of(pod)):
            self._state.nominations.remove(promised.uid)
            await self._reports.not_nominated(promised.pod)
            self._retry(key_of(promised.pod))
        done = await asyncio.gather(*(self._end(victim, pod, candidate.node) for victim in candidate.victims))
        return all(done)

    async def _end(self, victim: Placed, preemptor: Object, node: str) -> bool:
        scheduler = preemptor["spec"].get("schedulerName", "default-scheduler")
        try:
            await self._reports.disrupted(victim.pod, f"{scheduler}: preempting to accommodate a higher priority pod")
            if not is_deleting(victim.pod):
                await self._client.delete(PODS, key_of(victim.pod), uid=uid_of(victim.pod))
        except StatusError as error:
            if error.code != 404:
                return self._failed(victim, error)
            return True
        except OSError as error:
            return self._failed(victim, error)
        self._reports.preempted(victim.pod, preemptor, node)
        return True

    def _failed(self, victim: Placed, error: Exception) -> bool:
        log.warning("preempting %s on %s failed: %s", key_of(victim.pod), victim.node, error)
        self._state.nominations.victims.discard(victim.uid)
        return False
