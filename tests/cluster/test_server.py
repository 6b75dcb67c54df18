"""One process: parts around the API server, and how all of it ends."""

import asyncio
import dataclasses
import json
import os
import signal

import pytest

from tiphys.cluster import process, server
from tiphys.cluster.failures import CannotServe
from tiphys.cluster.process import Progress
from tiphys.cluster.settings import Settings


@pytest.fixture
def settings(tmp_path):
    bare = {"run_node": False, "run_controllers": False}
    return Settings(data_dir=tmp_path, run_dir=tmp_path / "run", port=0, bind="127.0.0.1", memory=True, **bare)


def lines_of(descriptor):
    with os.fdopen(descriptor) as lines:
        return lines.read().splitlines()


async def test_a_bare_api_tells_its_steps_and_serves_until_it_is_told_to_stop(settings):
    reading, writing = os.pipe()
    serving = asyncio.create_task(server.serve(settings, Progress(writing)))
    told = await asyncio.to_thread(lines_of, reading)
    assert [json.loads(line)["step"] for line in told] == ["keys", "store", "api", "ready"]
    assert process.running(settings.pid_file) == os.getpid()
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(10):
        await serving
    assert not settings.pid_file.exists()


async def test_with_controllers_it_is_ready_once_they_run_and_stops_as_cleanly(settings, caplog):
    settings = dataclasses.replace(settings, run_controllers=True)
    reading, writing = os.pipe()
    serving = asyncio.create_task(server.serve(settings, Progress(writing)))
    told = await asyncio.to_thread(lines_of, reading)
    assert [json.loads(line)["step"] for line in told] == ["keys", "store", "api", "controllers", "ready"]
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(20):
        await serving
    assert not settings.run_dir.exists() and "Traceback" not in caplog.text


def test_the_node_is_the_last_step():
    reading, writing = os.pipe()
    tell = server._teller(Progress(writing))
    for step in ("network", "node"):
        tell(step)
    assert [json.loads(line)["step"] for line in lines_of(reading)] == ["network", "node", "ready"]


async def test_parts_are_stopped_and_may_say_their_last_words():
    stop, words = asyncio.Event(), []

    async def part():
        try:
            stop.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            words.append("bye")

    await server._until(stop, part())
    assert words == ["bye"]


async def test_a_part_that_fails_takes_the_server_down():
    async def broken():
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(60))
            raise ValueError("broken")

    with pytest.raises(BaseExceptionGroup) as failed:
        await server._until(asyncio.Event(), broken())
    assert failed.value.subgroup(ValueError) is not None


async def test_why_it_cannot_serve_comes_out_of_the_groups():
    async def broken():
        async with asyncio.TaskGroup(), asyncio.TaskGroup():
            raise CannotServe("no room")

    with pytest.raises(CannotServe, match="no room"):
        await server._until(asyncio.Event(), broken())
