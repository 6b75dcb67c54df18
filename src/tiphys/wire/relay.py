"""
Join two raw connections: what comes from one goes to the other, both ways.

How the API server gives an exec or a port-forward to the node: after both sides have switched protocols it only copies
bytes. The end of one direction is passed on as an end of output, so the other direction can still finish; a break of
either side ends both.
"""

from __future__ import annotations

import asyncio

from tiphys.wire.link import ConnectionLost
from tiphys.wire.messages import Stream

# After one direction ended, how long the other may go on without a byte.
HALF_CLOSED_SECONDS = 60.0


class _Progress:
    """Bytes that went through, in both directions."""

    total = 0


async def relay(left: Stream, right: Stream, *, half_closed_seconds: float = HALF_CLOSED_SECONDS) -> None:
    """Copy until both directions have ended, then close both. Never raises because a peer went away."""
    progress = _Progress()
    forth = asyncio.ensure_future(_copy(left, right, progress))
    back = asyncio.ensure_future(_copy(right, left, progress))
    try:
        await asyncio.wait((forth, back), return_when=asyncio.FIRST_COMPLETED)
        while _ended_well(forth) and _ended_well(back) and not (forth.done() and back.done()):
            before = progress.total
            await asyncio.wait((forth, back), timeout=half_closed_seconds, return_when=asyncio.ALL_COMPLETED)
            if progress.total == before:
                break
    finally:
        for task in (forth, back):
            task.cancel()
        await asyncio.gather(forth, back, return_exceptions=True)
        await left.close()
        await right.close()


def _ended_well(task: asyncio.Future[bool]) -> bool:
    return not task.done() or task.result()


async def _copy(source: Stream, target: Stream, progress: _Progress) -> bool:
    """False if either side broke."""
    try:
        while data := await source.read():
            await target.write(data)
            progress.total += len(data)
        await target.close_output()
    except ConnectionLost:
        return False
    return True
