"""The guarded server as a whole: who may speak, what is admitted, what is sealed."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass

import orjson
import pytest

from tiphys.apiserver.audit import AuditSettings
from tiphys.apiserver.secure import SIGNING_KEY_SECONDS, SIGNING_KEYS, Security, SecuritySettings, secured
from tiphys.apiserver.server import ApiServer
from tiphys.store.memory import MemoryStore
from tiphys.wire.messages import Request

SHOP = "/api/v1/namespaces/shop"
RBAC = "/apis/rbac.authorization.k8s.io/v1"


@dataclass
class Guarded:
    api: ApiServer
    security: Security
    store: MemoryStore

    async def __call__(self, method, path, body=None, token="admin", **headers):
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["authorization"] = f"Bearer {token}"
        if body is not None:
            sent.setdefault("content-type", "application/json")
        data = b"" if body is None else orjson.dumps(body)
        response = await self.api.handle(Request(method, path, sent, data))
        return response.status, orjson.loads(response.body)

    async def token_of(self, account):
        await self("POST", f"{SHOP}/serviceaccounts", {"metadata": {"name": account}})
        made = await self("POST", f"{SHOP}/serviceaccounts/{account}/token", {"spec": {}})
        return made[1]["status"]["token"]


@pytest.fixture
async def ask(tmp_path):
    tokens = tmp_path / "tokens.csv"
    tokens.write_text('admin,admin,1,"system:masters"\nbob,bob,2\n')
    store = MemoryStore()
    security = secured(SecuritySettings(tmp_path / "pki", tokens, AuditSettings(tmp_path / "audit.log")), store)
    api = ApiServer(store, sealer=security.sealer, extras=security.extras)
    await api.start()
    following = asyncio.create_task(api.run())
    await api.boot()
    await security.boot(api)
    guarded = Guarded(api, security, store)
    await guarded("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})
    yield guarded
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    security.close()


async def test_the_bootstrap_roles_are_there(ask):
    status, role = await ask("GET", f"{RBAC}/clusterroles/cluster-admin")
    assert status == 200 and role["rules"][0]["resources"] == ["*"]


async def test_starting_again_changes_nothing(ask):
    before = ask.store.revision
    await ask.security.boot(ask.api)
    assert ask.store.revision == before


async def test_a_known_user_without_rights_is_forbidden(ask):
    status, body = await ask("GET", f"{SHOP}/secrets", token="bob")
    assert status == 403
    assert body["message"] == (
        'secrets is forbidden: User "bob" cannot list resource "secrets" in API group "" in the namespace "shop"'
    )


async def test_nobody_is_forbidden_and_a_wrong_token_is_unauthorized(ask):
    assert (await ask("GET", f"{SHOP}/pods", token=""))[0] == 403
    status, body = await ask("GET", f"{SHOP}/pods", token="wrong")
    assert (status, body["message"], body["reason"]) == (401, "Unauthorized", "Unauthorized")


async def test_an_accounts_token_works_until_the_account_is_deleted(ask):
    token = await ask.token_of("robot")
    review = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    status, me = await ask("POST", review, {}, token)
    assert (status, me["status"]["userInfo"]["username"]) == (201, "system:serviceaccount:shop:robot")
    await ask("DELETE", f"{SHOP}/serviceaccounts/robot")
    assert (await ask("POST", review, {}, token))[0] == 401


async def test_tokens_outlive_a_rotation_of_the_signing_key(ask):
    token = await ask.token_of("robot")
    ask.security.rotate_signing_key()
    review = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    assert (await ask("POST", review, {}, token))[0] == 201
    status, keys = await ask("GET", "/openid/v1/jwks")
    assert status == 200 and len(keys["keys"]) == 2


async def test_an_old_signing_key_is_replaced_at_the_start(ask, tmp_path):
    (file,) = tmp_path.rglob(SIGNING_KEYS)
    old = time.time() - SIGNING_KEY_SECONDS - 1
    os.utime(file, (old, old))
    await ask.security.boot(ask.api)
    await ask.security.boot(ask.api)
    assert len((await ask("GET", "/openid/v1/jwks"))[1]["keys"]) == 2


async def test_secrets_are_sealed_in_the_store(ask):
    secret = {"metadata": {"name": "s"}, "stringData": {"password": "hunter2"}}
    assert (await ask("POST", f"{SHOP}/secrets", secret))[0] == 201
    stored = await ask.store.get("/registry/secrets/shop/s")
    assert b"hunter2" not in stored.value and b"aHVudGVyMg" not in stored.value
    assert await ask.security.rotate_sealing_key(ask.api.cache) == 1
    assert (await ask("GET", f"{SHOP}/secrets/s"))[1]["data"] == {"password": "aHVudGVyMg=="}


async def test_a_pod_gets_its_account_its_token_and_its_tolerations(ask):
    await ask("POST", f"{SHOP}/serviceaccounts", {"metadata": {"name": "default"}})
    pod = {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    status, made = await ask("POST", f"{SHOP}/pods", pod)
    assert status == 201 and made["spec"]["serviceAccountName"] == "default"
    assert made["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["path"] == "token"
    assert len(made["spec"]["tolerations"]) == 2 and made["spec"]["priority"] == 0


async def test_a_certificate_is_asked_for_in_ones_own_name(ask):
    spec = {"request": "", "signerName": "example.com/x", "usages": ["client auth"], "username": "forged"}
    path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    status, made = await ask("POST", path, {"metadata": {"name": "c"}, "spec": spec})
    assert status == 422 or made["spec"]["username"] == "admin"


async def test_impersonation_is_audited_with_who_really_speaks(ask, tmp_path):
    await ask("GET", f"{SHOP}/pods", impersonate_user="bob")
    ask.security.close()
    lines = [orjson.loads(line) for line in (tmp_path / "audit.log").read_bytes().splitlines()]
    told = next(line for line in lines if "impersonatedUser" in line)
    assert (told["user"]["username"], told["impersonatedUser"]["username"]) == ("admin", "bob")
