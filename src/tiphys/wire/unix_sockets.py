"""Sockets with a path: listening at one, names for those whose path is long. Small: who only waits needs no more."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# A path of a socket has at most as many bytes (sockaddr_un), its end included.
PATH_BYTES_MAX = 108
BACKLOG = 64


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """A name of a socket that the kernel takes, however deep its directory is."""
    if len(os.fsencode(path)) < PATH_BYTES_MAX:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def listen(path: Path) -> socket.socket:
    """A socket at a path, in the place of one that an earlier process left; for its owner alone."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        with short_path(path) as name:
            listener.bind(name)
        path.chmod(0o600)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


async def called(listener: socket.socket) -> None:
    """Returns when somebody wants to connect."""
    loop = asyncio.get_running_loop()
    waiting = loop.create_future()

    def heard() -> None:
        if not waiting.done():
            waiting.set_result(None)

    loop.add_reader(listener, heard)
    try:
        await waiting
    finally:
        loop.remove_reader(listener)
