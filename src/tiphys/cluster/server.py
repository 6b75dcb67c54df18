"""
A cluster in one process: the API server, and around it the parts that were asked for, in one TaskGroup.

Parts are strangers to each other: each gets a client of its own, made of the API server's Handler and an identity.
They stop before the API server does, so that their last words are still heard. A part that fails takes the server
down with it: half a cluster that looks whole is worse than none.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

from tiphys.apiserver.subresources.connect import Reach
from tiphys.cluster import master, process
from tiphys.cluster.master import Master
from tiphys.cluster.process import Progress
from tiphys.cluster.settings import Settings

# Works until it is cancelled; makes its own client: `Client(master.handle, identity=…)`.
Part = Callable[[Master], Awaitable[None]]


async def serve(
    settings: Settings, progress: Progress, parts: Sequence[Part] = (), *, reach: Reach | None = None
) -> None:
    """Run until SIGTERM or SIGINT. `reach` is how the API server finds nodes. Raises CannotServe."""
    with _stopped_by_signals() as stop:
        async with master.serving(settings, progress, reach) as running, asyncio.TaskGroup() as tasks:
            working = [tasks.create_task(_run(part, running)) for part in parts]
            process.write_pid_file(settings.pid_file)
            progress.tell(process.READY)
            try:
                await stop.wait()
            finally:
                settings.pid_file.unlink(missing_ok=True)
                for task in working:
                    task.cancel()


async def _run(part: Part, running: Master) -> None:
    await part(running)
    raise RuntimeError(f"{part!r} ended by itself")


@contextmanager
def _stopped_by_signals() -> Iterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
