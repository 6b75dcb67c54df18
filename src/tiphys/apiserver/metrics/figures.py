"""
What nodes tell of their use, asked of each when somebody asks, and kept for a moment for whoever asks the same.

A node that does not answer is left out, as metrics-server does: the figures of the others are still good.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import orjson

from tiphys.api.errors import StatusError
from tiphys.apiserver.call import Object
from tiphys.apiserver.subresources.connect import Reach
from tiphys.wire.messages import Request

log = logging.getLogger(__name__)

# Autoscalers ask each second; two that ask at about the same time share an answer.
FRESH_SECONDS = 0.5
ANSWER_SECONDS_MAX = 3.0
# Nodes that are asked at once, and answers that are kept.
QUESTIONS_MAX, ANSWERS_MAX = 64, 4096


@dataclass(slots=True)
class _Answer:
    """The last answer to one question; who comes while it is asked waits for the same one."""

    asked_at: float = -math.inf
    document: Object | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Figures:
    """What nodes answer to a target such as `/stats/usage`."""

    def __init__(self, reach: Reach, clock: Callable[[], float] = time.monotonic) -> None:
        self._reach = reach
        self._clock = clock
        self._answers: dict[tuple[str, str], _Answer] = {}
        self._places = asyncio.Semaphore(QUESTIONS_MAX)

    async def of(self, nodes: Iterable[Object], target: str) -> Mapping[str, Object]:
        """The answers by node; those that cannot be had are missing."""
        asked = list(nodes)
        if len(self._answers) > ANSWERS_MAX:
            self._forget()
        answers = await asyncio.gather(*(self._of_one(node, target) for node in asked))
        names = [node["metadata"]["name"] for node in asked]
        return {name: answer for name, answer in zip(names, answers, strict=True) if answer is not None}

    def _forget(self) -> None:
        """Nodes and questions come and go; what is old is asked anew anyway."""
        since = self._clock() - FRESH_SECONDS
        old = [key for key, answer in self._answers.items() if answer.asked_at < since and not answer.turn.locked()]
        for key in old:
            del self._answers[key]

    async def _of_one(self, node: Object, target: str) -> Object | None:
        answer = self._answers.setdefault((node["metadata"]["name"], target), _Answer())
        async with answer.turn:
            if self._clock() - answer.asked_at >= FRESH_SECONDS:
                async with self._places:
                    answer.document = await self._ask(node, target)
                answer.asked_at = self._clock()
            return answer.document

    async def _ask(self, node: Object, target: str) -> Object | None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                response = await self._reach.node(node)(Request("GET", target))
                body = response.body
                content = body if isinstance(body, bytes) else b"".join([piece async for piece in body])
            if response.status == 200:
                answer: Object = orjson.loads(content)
                return answer
            log.debug("node %s answers %d to %s", node["metadata"]["name"], response.status, target)
        except (OSError, StatusError, TimeoutError, orjson.JSONDecodeError) as error:
            log.debug("node %s does not tell %s: %s", node["metadata"]["name"], target, error)
        return None
