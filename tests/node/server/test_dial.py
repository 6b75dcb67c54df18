"""Connections inside of a network namespace."""

import asyncio
import subprocess

import pytest

from tiphys.network import namespaces
from tiphys.node.server.dial import dial


async def test_tells_what_was_tried():
    with pytest.raises(ConnectionRefusedError, match=r"localhost:1 .*127\.0\.0\.1: connection refused; ::1: "):
        await dial(None, 1, 5.0)


async def test_a_network_that_is_gone_is_told(tmp_path):
    with pytest.raises(OSError, match="the pod's network is gone"):
        await dial(tmp_path / "gone", 80, 5.0)


@pytest.fixture
def pinned(host_lock, tmp_path):
    """A fresh namespace with its loopback up."""
    path = tmp_path / "pod"
    with namespaces.created(path):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    yield path
    namespaces.drop(path)


@pytest.mark.host
async def test_reaches_what_listens_in_the_namespace_only(pinned):
    async def answer(reader, writer):
        writer.write(await reader.readexactly(3))
        writer.close()

    with namespaces.entered(pinned):
        server = await asyncio.start_server(answer, "::1", 0)
    port = server.sockets[0].getsockname()[1]
    stream = await dial(pinned, port, 5.0)
    await stream.write(b"abc")
    assert (await stream.read(), await stream.read()) == (b"abc", b"")
    await stream.close()
    with pytest.raises(ConnectionRefusedError):
        await dial(None, port, 5.0)
    server.close()
