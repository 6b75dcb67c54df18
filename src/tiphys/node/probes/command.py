"""Commands in a container: exec probes and lifecycle hooks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tiphys.node.probes.outcome import OUTPUT_BYTES_MAX, Outcome
from tiphys.runtime.door import Process, Runtime, RuntimeFailure


async def check(runtime: Runtime, container_id: str, command: Sequence[str], timeout_seconds: float) -> Outcome:
    """Exit code 0 passes. What runs too long is killed."""
    try:
        process = await runtime.execute(container_id, command)
    except RuntimeFailure as error:
        return Outcome(False, str(error))
    try:
        async with asyncio.timeout(timeout_seconds):
            output = await _output(process)
            code = await process.wait()
    except TimeoutError:
        await process.kill()
        text = " ".join(command)
        return Outcome(False, f'command timed out: "{text}" timed out after {_spelled(timeout_seconds)}')
    except asyncio.CancelledError:
        await process.kill()
        raise
    except RuntimeFailure as error:
        return Outcome(False, str(error))
    return Outcome(code == 0, output)


async def _output(process: Process) -> str:
    """The beginning of what it printed, both streams; the rest is read and dropped so that it never blocks."""
    kept = b""
    async for _, chunk in process.output():
        if len(kept) < OUTPUT_BYTES_MAX:
            kept += chunk
    return kept[:OUTPUT_BYTES_MAX].decode("utf-8", "replace")


def _spelled(seconds: float) -> str:
    return f"{seconds:g}s"
