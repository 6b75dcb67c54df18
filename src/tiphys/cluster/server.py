"""
A cluster in one process: the API server, and around it the parts that the settings ask for, in one TaskGroup.

Parts are strangers to each other: each gets a client of its own, made of the API server's Handler and an identity.
They stop before the API server does, so that their last words are still heard.
"""

from __future__ import annotations

import asyncio
import signal

from tiphys.cluster import master, process
from tiphys.cluster.process import Progress
from tiphys.cluster.settings import Settings


async def serve(settings: Settings, progress: Progress) -> None:
    """Run until SIGTERM or SIGINT. Raises CannotServe."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with master.serving(settings, progress):
        process.write_pid_file(settings.pid_file)
        progress.tell(process.READY)
        try:
            await stop.wait()
        finally:
            settings.pid_file.unlink(missing_ok=True)
