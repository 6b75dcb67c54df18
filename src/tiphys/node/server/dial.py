"""
Connect to a port inside of a pod.

A socket belongs for ever to the network namespace of the thread that made it; so a worker thread enters the pod's
namespace just to make the socket, and the waiting is done by the loop. Programs listen on either loopback address.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from pathlib import Path

from tiphys.network.namespaces import entered
from tiphys.wire.dial import stream_of
from tiphys.wire.messages import Stream

LOOPBACKS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


async def dial(netns: Path | None, port: int, timeout_seconds: float) -> Stream:
    """Raises OSError whose text names what was tried."""
    failures = []
    for family, address in LOOPBACKS:
        try:
            return await _dial(netns, family, (address, port), timeout_seconds)
        except OSError as error:
            if error.errno == errno.ENOENT:
                raise OSError(errno.ENOENT, "the pod's network is gone") from error
            failures.append(f"{address}: {_reason(error)}")
    raise ConnectionRefusedError(f"failed to connect to localhost:{port} inside the pod ({'; '.join(failures)})")


async def _dial(netns: Path | None, family: socket.AddressFamily, address: tuple[str, int], seconds: float) -> Stream:
    made = await asyncio.to_thread(_socket, netns, family)
    try:
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().sock_connect(made, address)
        return await stream_of(made)
    except TimeoutError:
        made.close()
        raise TimeoutError(errno.ETIMEDOUT, "no answer in time") from None
    except BaseException:
        made.close()
        raise


def _socket(netns: Path | None, family: socket.AddressFamily) -> socket.socket:
    if netns is None:
        return _non_blocking(family)
    with entered(netns):
        return _non_blocking(family)


def _non_blocking(family: socket.AddressFamily) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setblocking(False)
    return made


def _reason(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno else str(error)
