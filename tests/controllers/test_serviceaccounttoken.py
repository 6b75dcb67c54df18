"""Secrets with a service account's token: filled, and removed with their account."""

import base64

import pytest

from tiphys.controllers.serviceaccounttoken.controller import ServiceAccountTokenController
from tiphys.controllers.serviceaccounttoken.plan import ACCOUNT_NAME, ACCOUNT_UID, SECRETS, TYPE, plan, plan_forgotten
from tiphys.reconcile.commands import Delete

ACCOUNT = {"metadata": {"name": "robot", "namespace": "shop", "uid": "u1"}}


def sign(account, secret):
    return f"token of {account['metadata']['name']} in {secret}"


def secret(data=None, **annotations):
    meta = {"name": "key", "namespace": "shop", "uid": "s1"}
    meta["annotations"] = {ACCOUNT_NAME: "robot", **annotations}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": TYPE, "data": data or {}}


def filled(given):
    (update,) = plan(given, ACCOUNT, "PEM", sign)
    return update.object


def test_a_token_is_filled_in():
    made = filled(secret())
    told = {name: base64.b64decode(value).decode() for name, value in made["data"].items()}
    assert told == {"token": "token of robot in key", "ca.crt": "PEM", "namespace": "shop"}
    assert made["metadata"]["annotations"][ACCOUNT_UID] == "u1"


def test_settled_means_no_commands():
    assert plan(filled(secret()), ACCOUNT, "PEM", sign) == []
    assert plan_forgotten({**ACCOUNT, "secrets": [{"name": "other"}]}, "key") == []


def test_a_token_is_never_replaced():
    made = filled(secret({"token": "b2xk", "ca.crt": "b2xk"}))
    assert (made["data"]["token"], made["data"]["ca.crt"]) == ("b2xk", base64.b64encode(b"PEM").decode())


@pytest.mark.parametrize("account", [None, {"metadata": {**ACCOUNT["metadata"], "uid": "u2"}}])
def test_the_token_of_an_account_that_is_gone_goes(account):
    (command,) = plan(secret(**{ACCOUNT_UID: "u1"}), account, "PEM", sign)
    assert isinstance(command, Delete)


def test_an_account_forgets_a_secret_that_is_gone():
    (update,) = plan_forgotten({**ACCOUNT, "secrets": [{"name": "key"}, {"name": "other"}]}, "key")
    assert update.object["secrets"] == [{"name": "other"}]


async def test_a_token_lives_as_long_as_its_account(plane):
    await plane.start(ServiceAccountTokenController, bundle="PEM", sign=sign)
    account = await plane.create("v1", "ServiceAccount", "robot", secrets=[{"name": "key"}])
    meta = {"name": "key", "namespace": "shop", "annotations": {ACCOUNT_NAME: "robot"}}
    await plane.client.create(SECRETS, {**secret(), "metadata": meta})

    async def held():
        return ((await plane.get("Secret", "key")) or {}).get("data")

    assert "token" in await plane.until(held)
    await plane.delete(account)

    async def gone():
        return await plane.get("Secret", "key") is None

    await plane.until(gone)
