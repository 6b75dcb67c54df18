"""`tiphys status`: what runs, and where to look at what does not."""

import os
from contextlib import asynccontextmanager

import pytest

from builders import node, pod
from tiny_api import TinyApi
from tiphys.api import resources
from tiphys.api.errors import failure
from tiphys.client.client import Client
from tiphys.cluster import access, process
from tiphys.cluster.failures import CannotServe

PODS, NODES = resources.get("", "v1", "pods"), resources.get("", "v1", "nodes")


@pytest.fixture
def api(monkeypatch):
    """The API of a server that runs with our own pid."""
    tiny = TinyApi()

    @asynccontextmanager
    async def administrator(settings):
        for collection, obj in tiny.seeds:
            await Client(tiny).create(collection, obj)
        yield Client(tiny)

    tiny.seeds = []
    monkeypatch.setattr(access, "administrator", administrator)
    monkeypatch.setattr(process, "running", lambda path: os.getpid())
    return tiny


def conditioned(name, status):
    return {**node(name), "status": {"conditions": [{"type": "Ready", "status": status}]}}


def test_no_cluster_is_told_with_the_command_that_starts_one(tiphys, place):
    assert tiphys("status") == (1, f"there is no cluster in {place}: start one with `tiphys up`\n", "")


def test_a_stopped_server_is_told(tiphys, settings):
    assert tiphys("status") == (1, "server   stopped: start it with `tiphys up`\n", "")


def test_nodes_and_pods_are_told_and_those_that_are_not_ready_by_name(tiphys, settings, api):
    api.seeds = [(NODES, conditioned("n1", "True")), (NODES, conditioned("n2", "Unknown"))]
    api.seeds += [(PODS, pod("a")), (PODS, pod("b", ready=False)), (PODS, pod("done", phase="Succeeded"))]
    code, told, _ = tiphys("status")
    lines = told.splitlines()
    assert code == 0 and lines[0].startswith(f"server   running (pid {os.getpid()}), ") and lines[0].endswith(" MB")
    assert lines[1:] == [
        "API      https://127.0.0.1:6443",
        "node     n1: Ready",
        "node     n2: Unknown",
        "pods     2 (1 ready)",
        "         shop/b is not ready: kubectl describe pod -n shop b",
    ]


def test_an_api_that_does_not_answer_is_one_line_that_names_the_log(tiphys, settings, api):
    api.fail = failure(503, "ServiceUnavailable", "starting")
    code, _, errors = tiphys("status")
    assert code == 1 and errors == f"tiphys status: the API does not answer: starting; see {settings.log}\n"


def test_keys_that_are_gone_are_told(tiphys, settings, api, monkeypatch):
    def without(settings):
        raise CannotServe("there is no cluster here")

    monkeypatch.setattr(access, "administrator", without)
    assert tiphys("status")[::2] == (1, "tiphys status: there is no cluster here\n")


def test_a_directory_that_is_roots_is_told(tiphys, place, monkeypatch):
    def refuse(data_dir):
        raise PermissionError

    monkeypatch.setattr("tiphys.cluster.saved.load", refuse)
    assert tiphys("status")[::2] == (1, f"tiphys status: {place} is readable by root alone: run it with sudo\n")
