"""
How many connections and requests come to a Service a second, for whoever asks.

The first question about a Service puts its counters into the kernel, and waits a moment for something to count; when
nobody has asked for a minute they are taken out again. The kernel's counts begin anew whenever the table is written, so
what counts is the difference of two looks: one is made right before each change. Requests that reach a Service's pods
without its address, through an Ingress, are counted by who leads them there, and asked for at each look.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.network.door import NetworkFailure
from tiphys.network.nftables import Engine, engine
from tiphys.proxy import counters
from tiphys.proxy.counters import Place

Object = Mapping[str, Any]
Owner = tuple[str, str]
# (kind, namespace, name)
Watch = tuple[str, str, str]

# Requests by Service since somebody began to count.
Elsewhere = Callable[[], Awaitable[Mapping[Owner, int]]]

log = logging.getLogger(__name__)

# Longer than for processor time: single requests come by chance.
WINDOW_SECONDS = 5.0
FIRST_SECONDS = 0.5
FRESH_SECONDS = 0.3
KEPT_SECONDS = 30.0
IDLE_SECONDS = 60.0
# Services that are counted at once.
WATCHES_MAX = 2000


@dataclass(frozen=True, slots=True)
class Arrivals:
    """`per_second` over the `window_seconds` before `at` (Unix seconds)."""

    per_second: float
    window_seconds: float
    at: float


@dataclass(frozen=True, slots=True)
class _Look:
    at: float
    totals: Mapping[Watch, int]


async def nowhere() -> Mapping[Owner, int]:
    """All requests come by packets to Services' addresses."""
    return {}


class Counting:
    """`find` gives a Service. `run()` takes the counters out when nobody asks any more."""

    def __init__(
        self,
        table: str,
        find: Callable[[str, str], Object | None],
        *,
        elsewhere: Elsewhere = nowhere,
        open_engine: Callable[[], Engine] = engine,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._table = table
        self._find = find
        self._elsewhere = elsewhere
        self._open_engine = open_engine
        self._now = now
        self._engine: Engine | None = None
        self._asked: dict[Watch, float] = {}
        self._installed: dict[Place, Watch] = {}
        self._seen: dict[Place, int] = {}
        self._seen_elsewhere: dict[Owner, int] = {}
        self._totals: dict[Watch, int] = {}
        self._looks: deque[_Look] = deque()
        self._turn = asyncio.Lock()
        self._begun = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled; what an earlier process left is taken out first."""
        try:
            self._nft.run(counters.removal(self._table))
            while True:
                await self._begun.wait()
                await asyncio.sleep(IDLE_SECONDS)
                async with self._turn:
                    self._forget()
        finally:
            self._close()

    async def arrivals(self, kind: str, services: Sequence[Owner]) -> Mapping[Owner, Arrivals]:
        """By Service; one that is unknown, or has no address of its own, is missing."""
        async with self._turn:
            watches = {(kind, *owner): owner for owner in services}
            for watch in watches:
                if watch in self._asked or len(self._asked) < WATCHES_MAX:
                    self._asked[watch] = self._now()
            self._begun.set()
            try:
                return await self._measured(watches)
            except NetworkFailure as error:
                log.warning("what comes to Services cannot be counted: %s", error)
                self._installed.clear()
                return {}

    async def _measured(self, watches: Mapping[Watch, Owner]) -> Mapping[Owner, Arrivals]:
        await self._install()
        counted = set(self._installed.values())
        wanted = [watch for watch in watches if watch in counted]
        if wanted and self._now() - self._looks[-1].at >= FRESH_SECONDS:
            await self._look()
        if any(self._rate(watch) is None for watch in wanted):
            await asyncio.sleep(FIRST_SECONDS)
            await self._look()
        found = {watches[watch]: self._rate(watch) for watch in wanted}
        return {owner: rate for owner, rate in found.items() if rate is not None}

    async def _install(self) -> None:
        """Make the kernel count at the places of what was asked for, as its Services are now."""
        wanted = {place: watch for watch in self._asked for place in self._places(watch)}
        if wanted == self._installed:
            return
        if self._installed:
            await self._look()
        self._nft.run(counters.table(self._table, wanted))
        self._installed = wanted
        self._seen = {}
        for watch in wanted.values():
            self._totals.setdefault(watch, 0)
        await self._look()

    def _places(self, watch: Watch) -> Iterable[Place]:
        kind, namespace, name = watch
        service = self._find(namespace, name)
        return counters.places_of(service, kind) if service is not None else ()

    async def _look(self) -> None:
        """Add what came since the last look."""
        for collection in {collection for collection, _ in self._installed}:
            listed = counters.counts(self._nft.run(f"list set ip {self._table} {collection}"))
            for element, packets in listed.items():
                place = (collection, element)
                before = self._seen.get(place, 0)
                watch = self._installed.get(place)
                if watch is not None:
                    # Fewer than before: somebody else has made the counter anew.
                    self._totals[watch] += packets - before if packets >= before else packets
                self._seen[place] = packets
        for owner, requests in (await self._elsewhere()).items():
            earlier = self._seen_elsewhere.get(owner, requests)
            if (counters.REQUESTS, *owner) in self._totals:
                new = requests - earlier if requests >= earlier else requests
                self._totals[(counters.REQUESTS, *owner)] += new
            self._seen_elsewhere[owner] = requests
        at = self._now()
        self._looks.append(_Look(at, {watch: self._totals[watch] for watch in set(self._installed.values())}))
        while self._looks[0].at < at - KEPT_SECONDS:
            self._looks.popleft()

    def _rate(self, watch: Watch) -> Arrivals | None:
        newest = self._looks[-1]
        known = [look for look in self._looks if watch in look.totals and look is not newest]
        old = [look for look in known if look.at <= newest.at - WINDOW_SECONDS]
        base = old[-1] if old else known[0] if known else None
        if base is None or newest.at <= base.at:
            return None
        window = newest.at - base.at
        return Arrivals((newest.totals[watch] - base.totals[watch]) / window, window, newest.at)

    def _forget(self) -> None:
        """Stop counting what nobody asks for; without any, there is no table."""
        since = self._now() - IDLE_SECONDS
        self._asked = {watch: at for watch, at in self._asked.items() if at > since}
        self._totals = {watch: total for watch, total in self._totals.items() if watch in self._asked}
        if self._asked:
            return
        self._begun.clear()
        self._installed, self._seen = {}, {}
        self._looks.clear()
        self._nft.run(counters.removal(self._table))

    @property
    def _nft(self) -> Engine:
        if self._engine is None:
            self._engine = self._open_engine()
        return self._engine

    def _close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None
