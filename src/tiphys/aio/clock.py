"""
What time it is, as something that can be handed over.

Waiting is left to asyncio (`asyncio.sleep`, `loop.call_later`): tests run it on `virtual.VirtualLoop`, where waiting
costs nothing. Only the wall clock is passed around, because code that decides takes `now` as an argument.
"""

from __future__ import annotations

import time
from collections.abc import Callable

# Returns Unix seconds.
Clock = Callable[[], float]

system: Clock = time.time
