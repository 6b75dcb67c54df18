"""One process: parts around the API server, and how all of it ends."""

import asyncio
import os
import signal

import pytest

from tiphys.api import resources
from tiphys.client.client import Client
from tiphys.cluster import process
from tiphys.cluster.process import Progress
from tiphys.cluster.server import serve
from tiphys.cluster.settings import Settings
from tiphys.wire.messages import Identity

NAMESPACES = resources.get("", "v1", "namespaces")


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path, run_dir=tmp_path / "run", port=0, bind="127.0.0.1", memory=True)


class Part:
    """Lists namespaces when it starts and when it is stopped, through a client of its own."""

    def __init__(self, settings):
        self.settings = settings
        self.heard = []

    async def __call__(self, master):
        client = Client(master.handle, identity=Identity("part", ("system:masters",)))
        self.heard.append(len((await client.list(NAMESPACES)).items))
        self.served = process.running(self.settings.pid_file)
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.Event().wait()
        finally:
            self.heard.append(len((await client.list(NAMESPACES)).items))


async def test_parts_are_heard_until_they_have_stopped(settings):
    part = Part(settings)
    await serve(settings, Progress(None), [part])
    assert part.heard == [4, 4]


async def test_the_pid_file_is_there_while_it_serves(settings):
    part = Part(settings)
    await serve(settings, Progress(None), [part])
    assert part.served == os.getpid() and not settings.pid_file.exists()


async def test_a_part_that_fails_takes_the_server_down(settings):
    async def broken(master):
        raise ValueError("broken")

    with pytest.raises(BaseExceptionGroup) as failed:
        await serve(settings, Progress(None), [broken])
    assert failed.value.subgroup(ValueError) is not None


async def test_a_part_that_ends_by_itself_is_a_failure(settings):
    async def short(master):
        return None

    with pytest.raises(BaseExceptionGroup) as failed:
        await serve(settings, Progress(None), [short])
    assert "ended by itself" in str(failed.value.subgroup(RuntimeError).exceptions)
