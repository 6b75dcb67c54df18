"""
A cluster in one process: the API server, and around it the parts that the settings ask for, in one TaskGroup.

Parts are strangers to each other: each gets a client of its own, made of the API server's Handler and an identity;
they share caches of what they all read. They stop before the API server does, so that their last words are still heard.
A part that fails takes the server down with it: half a cluster that looks whole is worse than none.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

from tiphys.client.informer import Informers
from tiphys.cluster import master, process
from tiphys.cluster.closing import Closing
from tiphys.cluster.failures import CannotServe
from tiphys.cluster.master import Master
from tiphys.cluster.process import Progress
from tiphys.cluster.settings import Settings


async def serve(settings: Settings, progress: Progress) -> None:
    """Run until SIGTERM, SIGINT or SIGPWR. Raises CannotServe."""
    process.collect_seldom()
    if settings.run_node:
        _prepare(settings)
    with _signalled(settings) as closing:
        async with master.serving(settings, progress) as running:
            process.write_pid_file(settings.pid_file)
            process.settle()
            try:
                await _until(closing.done, _parts(running, progress, closing))
            finally:
                settings.pid_file.unlink(missing_ok=True)
                with suppress(OSError):  # a node's things stay until `tiphys down`
                    settings.run_dir.rmdir()


def _prepare(settings: Settings) -> None:
    from tiphys.cluster import run_dir

    try:
        run_dir.prepare(settings.run_dir)
    except PermissionError as error:
        raise CannotServe(f"{error}; a node needs root") from None


async def _until(stop: asyncio.Event, parts: Awaitable[None]) -> None:
    """Run the parts until `stop`; raises what they raise."""
    working = asyncio.ensure_future(parts)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not working.done():
        working.cancel()
    try:
        await working
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
    except BaseExceptionGroup as group:
        failed = group.subgroup(CannotServe)
        if failed is None:
            raise
        raise _first(failed) from None


def _first(group: BaseExceptionGroup[CannotServe]) -> CannotServe:
    """The one failure inside of nested groups."""
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


async def _parts(running: Master, progress: Progress, closing: Closing) -> None:
    """Everything around the API server, until cancelled."""
    settings = running.settings
    if not settings.run_controllers and not settings.run_node:
        progress.tell(process.READY)
        await asyncio.get_running_loop().create_future()
    # Imported when they are wanted: a bare API starts without them.
    from tiphys.cluster import controllers

    informers = Informers(controllers.reader(running).without_managers())
    async with asyncio.TaskGroup() as group:
        if settings.run_controllers:
            group.create_task(controllers.run_all(controllers.build(running, informers)), name="controllers")
            progress.tell("controllers")
        group.create_task(informers.run(), name="informers")
        if settings.run_node:
            from tiphys.cluster import node

            group.create_task(node.run(running, informers, _teller(progress), closing), name="node")
        else:
            progress.tell(process.READY)


def _teller(progress: Progress) -> Callable[[str], None]:
    def tell(step: str) -> None:
        progress.tell(step)
        if step == "node":
            progress.tell(process.READY)

    return tell


@contextmanager
def _signalled(settings: Settings) -> Iterator[Closing]:
    """Events that signals set: SIGTERM and SIGINT end the server alone, SIGPWR ends the pods of a node before it."""
    closing, loop = Closing(), asyncio.get_running_loop()
    first = closing.asked if settings.run_node else closing.done
    events = {signal.SIGTERM: closing.done, signal.SIGINT: closing.done, signal.SIGPWR: first}
    for number, event in events.items():
        loop.add_signal_handler(number, event.set)
    try:
        yield closing
    finally:
        for number in events:
            loop.remove_signal_handler(number)
