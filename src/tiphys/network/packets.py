"""
One nftables table that is ours: changed in whole transactions, remembered, and put back when others break it.

The committed state is kept here, because listing a large map takes a second and changing one element 40 µs. A table
starts *unclaimed*: the rules that an earlier process left go on to work until `replace` puts the new ones in their
place in one transaction, so that a restart of this process loses no packet.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from tiphys.network.door import NetworkFailure, RulesRefused
from tiphys.network.monitor import Monitor
from tiphys.network.nftables import Engine, engine
from tiphys.network.rules import Change, Ruleset, transaction, whole

log = logging.getLogger(__name__)

# Longer transactions go to a thread; a shorter one is over sooner than the thread would have started.
INLINE_TEXT_MAX = 8192
# Two programs that both insist on one table must not fight at the speed of the machine.
RESTORE_PAUSE_SECONDS = (0.0, 0.05, 0.5, 5.0)
QUIET_SECONDS = 30.0


class PacketTable:
    """`family` is "ip" here throughout. All methods belong to the loop that called `open`."""

    def __init__(self, name: str, family: str = "ip") -> None:
        self.name = name
        self.family = family
        self.committed: Ruleset | None = None
        # Set each time that somebody's damage was repaired.
        self.repaired = asyncio.Event()
        self._engine: Engine | None = None
        self._monitor: Monitor | None = None
        self._lock = asyncio.Lock()
        self._restoring: asyncio.Task[None] | None = None
        self._restores: list[float] = []

    @property
    def address(self) -> str:
        """How nft's words name it: `ip tiphys`."""
        return f"{self.family} {self.name}"

    async def open(self) -> None:
        """Connect to nftables. The table itself is left as it is. Idempotent."""
        if self._engine is None:
            self._engine = engine()

    async def replace(self, ruleset: Ruleset) -> None:
        """Make the table hold exactly `ruleset`, whatever it held, in one transaction; from now on it is watched."""
        async with self._lock:
            await self._run(whole(self.address, ruleset))
            self.committed = ruleset
        if self._monitor is None:
            self._monitor = Monitor(self.name, self._on_foreign_change)
            self._monitor.start(self._connected.senders)

    async def apply(self, changes: Sequence[Change]) -> None:
        """Perform changes in one transaction. RulesRefused: none of them was performed."""
        async with self._lock:
            committed = self._claimed()
            text = transaction(self.address, changes, committed)
            if text:
                try:
                    await self._run(text)
                except RulesRefused:
                    await self._apply_afresh(changes, committed)
            for change in changes:
                committed.perform(change)

    async def _apply_afresh(self, changes: Sequence[Change], committed: Ruleset) -> None:
        """The table may differ from what we committed, by somebody's hand. Written whole, it cannot."""
        wanted = Ruleset(
            dict(committed.chains),
            dict(committed.collections),
            {name: dict(elements) for name, elements in committed.elements.items()},
        )
        for change in changes:
            wanted.perform(change)
        await self._run(whole(self.address, wanted))

    async def close(self) -> None:
        """Stop watching. The rules stay and go on to work."""
        if self._restoring is not None:
            self._restoring.cancel()
            await asyncio.gather(self._restoring, return_exceptions=True)
            self._restoring = None
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = None
        async with self._lock:
            if self._engine is not None:
                self._engine.close()
                self._engine = None
            self.committed = None

    async def purge(self) -> None:
        """Remove the table, if it is there, and close."""
        await self.close()
        await asyncio.to_thread(remove_table, self.family, self.name)

    @property
    def _connected(self) -> Engine:
        if self._engine is None:
            raise RulesRefused(f"the packet rules {self.address} are not open")
        return self._engine

    def _claimed(self) -> Ruleset:
        if self.committed is None:
            raise RulesRefused(f"the packet rules {self.address} have no content yet; replace() comes first")
        return self.committed

    async def _run(self, text: str) -> None:
        if len(text) <= INLINE_TEXT_MAX:
            self._connected.run(text)
        else:
            await asyncio.to_thread(self._connected.run, text)
        if self._monitor is not None and self._monitor.drain(self._connected.senders):
            self._on_foreign_change()

    # what others do

    def _on_foreign_change(self) -> None:
        if self._restoring is None or self._restoring.done() or self._restoring is asyncio.current_task():
            self._restoring = asyncio.create_task(self._restore(), name=f"restore {self.address}")

    async def _restore(self) -> None:
        loop = asyncio.get_running_loop()
        self._restores = [moment for moment in self._restores if loop.time() - moment < QUIET_SECONDS]
        pause = RESTORE_PAUSE_SECONDS[min(len(self._restores), len(RESTORE_PAUSE_SECONDS) - 1)]
        await asyncio.sleep(pause)
        self._restores.append(loop.time())
        async with self._lock:
            if self.committed is None or self._monitor is None:
                return
            self._monitor.drain(self._connected.senders)
            log.warning("somebody changed the packet rules %s: putting them back", self.address)
            try:
                await self._run(whole(self.address, self.committed))
            except NetworkFailure:
                log.exception("the packet rules %s could not be put back", self.address)
                return
            self.repaired.set()


def remove_table(family: str, name: str) -> None:
    """Remove the table of exactly that name, of whichever process; `tiphys-x` may be another cluster's."""
    nft = engine()
    try:
        # Lines such as `table ip tiphys`.
        if any(line.split()[2] == name for line in nft.run(f"list tables {family}").splitlines()):
            nft.run(f"delete table {family} {name}")
    finally:
        nft.close()
