"""The end of a server, in two steps: what is asked, and when it may come."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Closing:
    """`asked`: the machine goes down, pods are to end first. `done`: nothing is left to wait for."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)
