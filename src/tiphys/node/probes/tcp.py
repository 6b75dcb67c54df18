"""TCP checks: whether somebody accepts a connection."""

from __future__ import annotations

import asyncio

from tiphys.node.probes.http import dial_error
from tiphys.node.probes.outcome import Outcome


async def check(host: str, port: int, timeout_seconds: float) -> Outcome:
    try:
        async with asyncio.timeout(timeout_seconds):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Outcome(False, f"dial tcp {host}:{port}: i/o timeout")
    except OSError as error:
        return Outcome(False, dial_error(host, port, error))
    writer.close()
    return Outcome(True)
