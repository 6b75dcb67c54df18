"""Everything here runs on virtual time, against a tiny API."""

import asyncio

import pytest

from tiny_api import TinyApi
from tiphys.aio.virtual import VirtualLoop
from tiphys.client.client import Client
from tiphys.client.events import Recorder


def pytest_asyncio_loop_factories(config, item):
    return {"virtual": VirtualLoop}


@pytest.fixture
def api():
    return TinyApi()


@pytest.fixture
def client(api):
    return Client(api)


@pytest.fixture
async def recorder(client):
    made = Recorder(client, "tester")
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
