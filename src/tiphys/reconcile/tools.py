"""What every controller is given: a client and a voice in its own name, the caches that all share, and a clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tiphys.aio import clock
from tiphys.client.client import Client
from tiphys.client.events import Recorder
from tiphys.client.informer import Informers
from tiphys.reconcile import commands as work
from tiphys.reconcile.commands import Command, Performed


@dataclass(frozen=True, slots=True)
class Tools:
    """One controller's. `now` gives Unix seconds."""

    client: Client
    informers: Informers
    recorder: Recorder
    now: clock.Clock = clock.system

    async def perform(self, commands: Sequence[Command]) -> Performed:
        """Send the commands of a plan, in order (`commands.perform`)."""
        return await work.perform(self.client, self.recorder, commands)
