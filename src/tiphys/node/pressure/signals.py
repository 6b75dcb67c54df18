"""What is left on the machine, read from the kernel, and the descriptor by which it tells of short memory itself."""

from __future__ import annotations

import asyncio
import logging
import os
import select
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tiphys.node.machine import memory_info
from tiphys.node.pressure import thresholds as t
from tiphys.node.pressure.thresholds import Observation

# Wake when tasks stall 300 ms within two seconds; shorter windows need a privilege that hosts may withhold.
PSI_TRIGGER = b"some 300000 2000000\0"
PSI_MEMORY = Path("/proc/pressure/memory")

log = logging.getLogger(__name__)


def observe(node_dir: Path, image_dir: Path) -> dict[str, Observation]:
    """Every signal; `image_dir` is where images are unpacked."""
    memory = memory_info()
    seen = {t.MEMORY: Observation(memory["MemAvailable"], memory["MemTotal"]), t.PIDS: _pids()}
    for path, size, inodes in ((node_dir, t.NODE_BYTES, t.NODE_INODES), (image_dir, t.IMAGE_BYTES, t.IMAGE_INODES)):
        if not path.exists():
            continue  # no image has come yet
        found = os.statvfs(path)
        seen[size] = Observation(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)
        if found.f_files:  # some file systems count none
            seen[inodes] = Observation(found.f_favail, found.f_files)
    return seen


def _pids() -> Observation:
    tasks = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
    limits = (Path("/proc/sys/kernel/pid_max"), Path("/proc/sys/kernel/threads-max"))
    limit = min(int(path.read_text()) for path in limits)
    return Observation(max(limit - tasks, 0), limit)


@contextmanager
def stalls(woken: Callable[[], None]) -> Iterator[None]:
    """Call `woken` whenever tasks stall for want of memory, as long as the context lasts."""
    trigger = open_trigger()
    if trigger is None:
        yield
        return
    loop, poll = asyncio.get_running_loop(), select.epoll()

    def drain() -> None:
        poll.poll(0)
        woken()

    try:
        # A PSI trigger reports through POLLPRI, which an event loop does not watch; its epoll's own descriptor is
        # readable whenever that happens.
        poll.register(trigger, select.EPOLLPRI | select.EPOLLET)
        loop.add_reader(poll.fileno(), drain)
        yield
    finally:
        loop.remove_reader(poll.fileno())
        poll.close()
        os.close(trigger)


def open_trigger() -> int | None:
    """A PSI trigger for memory; None where the kernel has none (then only the regular look tells)."""
    try:
        handle = os.open(PSI_MEMORY, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        log.info("no pressure information from the kernel: %s", error)
        return None
    try:
        os.write(handle, PSI_TRIGGER)
    except OSError as error:
        os.close(handle)
        log.info("the kernel takes no pressure trigger: %s", error)
        return None
    return handle


def seconds_to_next_look(
    thresholds: tuple[t.Threshold, ...], seen: Mapping[str, Observation], *, at_most: float
) -> float:
    """
    No event tells that a disk fills: the closer it is to a threshold, the sooner we look again. Nothing fills a disk
    faster than FILL_BYTES_PER_SECOND, or makes more files and processes in a second than CREATED_PER_SECOND.
    """
    soonest = at_most
    for threshold in thresholds:
        if threshold.signal == t.MEMORY or threshold.signal not in seen:
            continue  # memory has its event
        found = seen[threshold.signal]
        room = found.available - threshold.amount(found.capacity)
        speed = FILL_BYTES_PER_SECOND if threshold.signal.endswith("fs.available") else CREATED_PER_SECOND
        soonest = min(soonest, room / speed)
    return max(soonest, LOOK_SECONDS_MIN)


FILL_BYTES_PER_SECOND = 500_000_000
CREATED_PER_SECOND = 50_000
LOOK_SECONDS_MIN = 2.0
