"""Tokens in Secrets: when they were used, and what becomes of those that nobody uses."""

import asyncio

import pytest

from builders import EPOCH, pod
from tiphys.api.objects import labels_of, parse_timestamp
from tiphys.controllers.legacytokens.controller import LegacyTokenController
from tiphys.controllers.legacytokens.plan import INVALID_SINCE, LAST_USED, YEAR_SECONDS, plan, secret_names
from tiphys.reconcile.commands import Delete, Requeue

NOW = parse_timestamp(EPOCH)
LISTED = {"metadata": {"name": "robot"}, "secrets": [{"name": "key"}]}


def secret(**labels):
    names = {"used": LAST_USED, "invalid": INVALID_SINCE}
    meta = {"name": "key", "namespace": "shop", "uid": "s1", "creationTimestamp": EPOCH}
    return {"metadata": {**meta, "labels": {names[name]: value for name, value in labels.items()}}}


def test_a_year_without_use_makes_it_invalid():
    assert plan(secret(), LISTED, [], NOW + 100) == [Requeue(YEAR_SECONDS - 100)]
    marked, _ = plan(secret(), LISTED, [], NOW + YEAR_SECONDS)
    assert marked.patch["metadata"]["labels"] == {INVALID_SINCE: "2028-01-15"}
    assert isinstance(plan(secret(used="2027-06-01"), LISTED, [], NOW + YEAR_SECONDS)[0], Requeue)


def test_another_year_removes_it():
    (command,) = plan(secret(invalid="2028-01-15"), LISTED, [], NOW + 2 * YEAR_SECONDS)
    assert isinstance(command, Delete)


def test_settled_means_no_commands():
    late = NOW + 9 * YEAR_SECONDS
    assert plan(secret(), {**LISTED, "secrets": []}, [], late) == []
    assert plan(secret(), None, [], late) == []
    needs = pod("web", volumes=[{"name": "v", "secret": {"secretName": "key"}}])
    assert plan(secret(invalid="2028-01-15"), LISTED, [needs], late) == []


@pytest.mark.parametrize(
    "spec",
    [
        {"volumes": [{"projected": {"sources": [{"secret": {"name": "key"}}]}}]},
        {"containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "key", "key": "k"}}}]}]},
        {"initContainers": [{"envFrom": [{"secretRef": {"name": "key"}}]}]},
        {"imagePullSecrets": [{"name": "key"}]},
    ],
)
def test_a_pod_names_secrets_in_many_places(spec):
    assert list(secret_names(spec)) == ["key"]


async def test_a_use_is_noted(plane):
    used = asyncio.Queue()
    await plane.start(LegacyTokenController, used=used)
    annotations = {"kubernetes.io/service-account.name": "robot"}
    made = await plane.create("v1", "Secret", "plain")
    meta = {"name": "key", "namespace": "shop", "annotations": annotations}
    fields = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "kubernetes.io/service-account-token"}
    await plane.client.request("POST", "/api/v1/namespaces/shop/secrets", fields)
    await plane.settled()
    for name in ("plain", "gone", "key"):
        used.put_nowait(("shop", name))
    await plane.settled()
    assert labels_of(await plane.get("Secret", "key")) == {LAST_USED: "2027-01-15"}
    assert labels_of(await plane.get("Secret", "plain")) == labels_of(made)
