"""Everything here runs on virtual time, against a tiny API whose watches can be cut."""

from itertools import count

import pytest

from tiny_api import TinyApi
from tiphys.aio.virtual import VirtualLoop
from tiphys.api import resources
from tiphys.api.errors import StatusError
from tiphys.client.client import Client

CONFIGMAPS = resources.get("", "v1", "configmaps")


def pytest_asyncio_loop_factories(config, item):
    return {"virtual": VirtualLoop}


class Line:
    """The Handler between a client and the API: `targets` are those asked for; `answers` come before the API's."""

    def __init__(self, api):
        self.api, self.targets, self.answers = api, [], []

    async def __call__(self, request):
        self.targets.append(request.target)
        if not self.answers:
            return await self.api(request)
        answer = self.answers.pop(0)
        if isinstance(answer, StatusError | OSError):
            raise answer
        return answer


@pytest.fixture
def api():
    return TinyApi()


@pytest.fixture
def line(api):
    return Line(api)


@pytest.fixture
def client(line):
    return Client(line)


@pytest.fixture
def put(api):
    """Write a ConfigMap past the client: `await put("a", k="v")`."""
    direct, numbers = Client(api), count()

    async def write(name, *, namespace="shop", labels=None, **data):
        body = {"metadata": {"name": name, "namespace": namespace, "labels": labels or {}}, "data": data}
        if ("api/v1/configmaps", namespace, name) in api.objects:
            return await direct.patch(CONFIGMAPS, (namespace, name), body)
        body["metadata"]["uid"] = f"u{next(numbers)}"
        return await direct.create(CONFIGMAPS, body)

    return write
