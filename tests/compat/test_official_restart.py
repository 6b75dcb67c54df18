"""The official Python client across a restart of the server: what it may go on with, and what it must list again."""

import shutil
import socket
from contextlib import contextmanager

import pytest
from kubernetes import client, config, watch
from kubernetes.client import ApiException

from server_builders import serving
from tiphys.cli.options import run_dir_of


@pytest.fixture
def started(tmp_path):
    """Start the server on the same data and port each time; gives a client for as long as the block lasts."""
    data = tmp_path / "data"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    place = ("--no-controllers", "--data-dir", str(data), "--port", str(port))

    @contextmanager
    def start():
        with (
            serving(tmp_path, *place, memory=False) as server,
            config.new_client_from_config(str(server.kubeconfig)) as api,
        ):
            yield client.CoreV1Api(api)

    yield start
    shutil.rmtree(run_dir_of(data), ignore_errors=True)


def events(core, version):
    found = watch.Watch().stream(
        core.list_namespaced_config_map, "default", resource_version=version, timeout_seconds=1
    )
    return [(event["type"], event["object"].metadata.name) for event in found]


def test_a_watch_goes_on_after_a_restart_and_one_from_long_ago_lists_again(started):
    with started() as core:
        core.create_namespaced_config_map("default", {"metadata": {"name": "a"}})
        version = core.list_namespaced_config_map("default").metadata.resource_version
    with started() as core:
        core.create_namespaced_config_map("default", {"metadata": {"name": "b"}})
        assert events(core, version) == [("ADDED", "b")]
        with pytest.raises(ApiException) as caught:
            events(core, "1")
    assert (caught.value.status, "too old resource version: 1" in caught.value.reason) == (410, True)
