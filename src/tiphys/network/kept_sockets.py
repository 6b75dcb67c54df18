"""
Sockets that outlive the process that opened them, so that what is sent to them while it is killed and started again
waits instead of being refused.

A keeper, a stopped shell of a megabyte, holds the same sockets. The kernel goes on queueing datagrams and connections
for them; the next process takes them from the keeper with pidfd_getfd. The keeper's command line says whose they are,
so there is no record that could be lost or lie. Where the kernel does not let us take them, they are opened afresh.
Rejected: SO_REUSEPORT (a second process would have to answer) and a file descriptor store (there may be no systemd).
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import select
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

log = logging.getLogger(__name__)

Address = tuple[str, int]
Pair = tuple[socket.socket, socket.socket]

LABEL = "tiphys-keeper"
# Stopped, it costs nothing and holds on; the loop is for somebody who sends it SIGCONT.
KEEP = "trap '' HUP TERM INT; echo here; exec >/dev/null; while :; do kill -STOP $$; done"
PIDFD_GETFD = 438  # the same on all architectures
END_SECONDS = 5.0


def bound(owner: Path, address: Address, bind: Callable[[str, int], Pair]) -> Pair:
    """The UDP and the TCP socket of `owner` at `address`: those that are kept, or new ones, kept from now on."""
    for pid, kept_address, descriptors in _keepers(owner):
        if kept_address == _text(address):
            taken = _take(pid, descriptors)
            if taken is not None:
                return taken
        _end(pid)
    udp, tcp = bind(*address)
    _keep(owner, address, (udp, tcp))
    return udp, tcp


def drop(owner: Path) -> None:
    """Nothing is kept for `owner` any more."""
    for pid, _, _ in _keepers(owner):
        _end(pid)


def _text(address: Address) -> str:
    return f"{address[0]}:{address[1]}"


def _keep(owner: Path, address: Address, pair: Pair) -> None:
    descriptors = [one.fileno() for one in pair]
    command = ["/bin/sh", "-c", KEEP, LABEL, str(owner), _text(address), *map(str, descriptors)]
    nothing = subprocess.DEVNULL
    # Not waited for: it is meant to outlive us.
    keeper = subprocess.Popen(
        command,
        stdin=nothing,
        stdout=subprocess.PIPE,
        stderr=nothing,
        pass_fds=descriptors,
        start_new_session=True,
        cwd="/",
    )
    assert keeper.stdout is not None
    with keeper.stdout as said:
        said.readline()  # from now on its command line can be seen
    keeper.returncode = 0


def _keepers(owner: Path) -> Iterator[tuple[int, str, list[int]]]:
    """(pid, address, descriptors) of each keeper of `owner`."""
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            words = (directory / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        if words[3:5] == [LABEL, str(owner)]:
            yield int(directory.name), words[5], [int(word) for word in words[6:8]]


def _take(pid: int, descriptors: list[int]) -> Pair | None:
    """The keeper's sockets as ours; None if the kernel does not give them."""
    taken: list[socket.socket] = []
    try:
        keeper = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    try:
        for descriptor in descriptors:
            got = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, keeper, descriptor, 0)
            if got < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            taken.append(socket.socket(fileno=got))
    except OSError as error:
        log.info("sockets that were kept cannot be taken over, new ones are opened: %s", error)
        for one in taken:
            one.close()
        return None
    finally:
        os.close(keeper)
    udp, tcp = taken
    return udp, tcp


def _end(pid: int) -> None:
    """Kill it and wait until its sockets are closed."""
    try:
        keeper = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(keeper, signal.SIGKILL)
        poller = select.poll()
        poller.register(keeper, select.POLLIN)
        poller.poll(END_SECONDS * 1000)
        with contextlib.suppress(ChildProcessError):  # usually somebody else's child
            os.waitpid(pid, os.WNOHANG)
    except ProcessLookupError:
        pass  # it ended by itself
    finally:
        os.close(keeper)
