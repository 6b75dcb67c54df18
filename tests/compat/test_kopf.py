"""kopf, the operator framework: an operator for ConfigMaps that runs its handlers, finalizers and events."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kubernetes import client
from kubernetes.client import ApiException

OPERATOR = Path(__file__).with_name("config_map_operator.py")


@pytest.fixture
def told(tmp_path):
    """What the operator did, in order."""

    def read():
        path = tmp_path / "told"
        return [tuple(json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []

    return read


@pytest.fixture
def operator(server, namespace, tmp_path):
    """The operator at work in the namespace."""
    command = [sys.executable, "-m", "kopf", "run", "--standalone", "--namespace", namespace, str(OPERATOR)]
    environment = {**os.environ, "KUBECONFIG": str(server.kubeconfig), "TOLD": str(tmp_path / "told")}
    log = tmp_path / "log"
    with log.open("w") as file:
        running = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
    yield
    running.terminate()
    assert running.wait(10) == 0
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.fixture
def read(core, namespace):
    """The object that the operator looks after; None if it is gone."""

    def ask():
        try:
            return core.read_namespaced_config_map("a", namespace)
        except ApiException as error:
            assert error.status == 404
            return None

    return ask


def make(core, namespace):
    body = {"metadata": {"name": "a", "labels": {"kopf": "yes"}}, "data": {"k": "v"}}
    return core.create_namespaced_config_map(namespace, body)


@pytest.mark.usefixtures("operator")
def test_an_operator_sees_an_object_through_its_life(core, namespace, told, read, until):
    make(core, namespace)
    until(lambda: (read().metadata.annotations or {}).get("seen") == "yes")
    assert read().metadata.finalizers == ["kopf.zalando.org/KopfFinalizerMarker"]
    core.patch_namespaced_config_map("a", namespace, {"data": {"k": "w"}})
    until(lambda: len(told()) == 2)
    core.delete_namespaced_config_map("a", namespace)
    until(lambda: read() is None)
    assert told() == [("create", "a"), ("update", "a", {"k": "v"}, {"k": "w"}), ("delete", "a")]


def test_an_operator_that_comes_late_handles_what_is_there(official, core, namespace, told, read, until, request):
    make(core, namespace)
    request.getfixturevalue("operator")
    until(lambda: told() == [("create", "a")])
    state = "kopf.zalando.org/last-handled-configuration"
    kept = until(lambda: (read().metadata.annotations or {}).get(state))
    assert json.loads(kept)["data"] == {"k": "v"}
    events = until(lambda: core.list_namespaced_event(namespace, field_selector="reason=Seen").items)
    assert (events[0].message, events[0].involved_object.name) == ("hello", "a")
    newer = client.EventsV1Api(official).list_namespaced_event(namespace, field_selector="reason=Seen").items
    assert newer[0].note == "hello"
