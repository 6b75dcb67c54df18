"""
What nodes tell of their use, asked of each when somebody asks, and kept for a moment for whoever asks the same.

A node that does not answer is left out, as metrics-server does: the figures of the others are still good.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

import orjson

from tiphys.api.errors import StatusError
from tiphys.apiserver.call import Object
from tiphys.apiserver.subresources.connect import Reach
from tiphys.wire.messages import Request

log = logging.getLogger(__name__)

# Autoscalers ask each second; two that ask at about the same time share an answer.
FRESH_SECONDS = 0.5
ANSWER_SECONDS_MAX = 3.0
# Nodes that are asked at once.
QUESTIONS_MAX = 64


class Figures:
    """Answers of nodes to one path, such as `/stats/usage`."""

    def __init__(self, reach: Reach, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._reach = reach
        self._path = path
        self._clock = clock
        self._kept: dict[str, tuple[float, Object | None]] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._places = asyncio.Semaphore(QUESTIONS_MAX)

    async def of(self, nodes: Iterable[Object]) -> Mapping[str, Object]:
        """The answers by node; those that cannot be had are missing."""
        asked = list(nodes)
        answers = await asyncio.gather(*(self._of_one(node) for node in asked))
        names = [node["metadata"]["name"] for node in asked]
        return {name: answer for name, answer in zip(names, answers, strict=True) if answer is not None}

    def forget(self, present: Iterable[str]) -> None:
        """Keep nothing about nodes that are gone."""
        for name in self._kept.keys() - set(present):
            del self._kept[name]
            self._turns.pop(name, None)

    async def _of_one(self, node: Object) -> Object | None:
        name = node["metadata"]["name"]
        async with self._turns[name]:
            at, answer = self._kept.get(name, (-FRESH_SECONDS, None))
            if self._clock() - at < FRESH_SECONDS:
                return answer
            async with self._places:
                answer = await self._ask(node)
            self._kept[name] = self._clock(), answer
            return answer

    async def _ask(self, node: Object) -> Object | None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                response = await self._reach.node(node)(Request("GET", self._path))
                body = response.body
                content = body if isinstance(body, bytes) else b"".join([piece async for piece in body])
            if response.status == 200:
                answer: Object = orjson.loads(content)
                return answer
            log.debug("node %s answers %d to %s", node["metadata"]["name"], response.status, self._path)
        except (OSError, StatusError, TimeoutError, orjson.JSONDecodeError) as error:
            log.debug("node %s does not tell %s: %s", node["metadata"]["name"], self._path, error)
        return None
