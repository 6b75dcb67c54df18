"""One server for other people's clients, and a namespace of its own for each test."""

import itertools
import time

import pytest
from kubernetes import client, config

from server_builders import serving

numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The API with its controllers, without a node."""
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="session")
def official(server):
    """The official client's connection, as the administrator."""
    with config.new_client_from_config(str(server.kubeconfig)) as api:
        yield api


@pytest.fixture(scope="session")
def core(official):
    return client.CoreV1Api(official)


@pytest.fixture(scope="session")
def apps(official):
    return client.AppsV1Api(official)


@pytest.fixture
def until():
    """Ask again until the answer is true, and give it; the controllers work in another process."""

    def wait(ask, seconds=10):
        end = time.monotonic() + seconds
        while not (answer := ask()):
            assert time.monotonic() < end, "it never came true"
            time.sleep(0.02)
        return answer

    return wait


@pytest.fixture
def namespace(core, until):
    """The name of a fresh namespace that has its service account, without which no pod is admitted."""
    name = f"test-{next(numbers)}"
    core.create_namespace({"metadata": {"name": name}})
    until(lambda: core.list_namespaced_service_account(name).items)
    yield name
    core.delete_namespace(name)


@pytest.fixture
def config_map(core, namespace):
    """Makes ConfigMaps: `config_map("a", {"k": "v"}, tier="web")`."""

    def make(name, data=None, **labels):
        return core.create_namespaced_config_map(
            namespace, {"metadata": {"name": name, "labels": labels}, "data": data}
        )

    return make
