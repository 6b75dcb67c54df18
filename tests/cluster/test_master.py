"""The API server of a cluster over TLS: who gets in, what stays, how it ends."""

import asyncio
import dataclasses
import ssl
import stat
from contextlib import asynccontextmanager

import orjson
import pytest

from tiphys.api import resources
from tiphys.client.client import Client
from tiphys.cluster import master
from tiphys.cluster.failures import CannotServe
from tiphys.cluster.process import Progress
from tiphys.cluster.settings import Settings
from tiphys.pki import kubeconfig, tls
from tiphys.wire.messages import Identity, Request
from tiphys.wire.pool import HttpPool

NAMESPACES, CONFIGMAPS = resources.get("", "v1", "namespaces"), resources.get("", "v1", "configmaps")
ADMIN = Identity("admin", ("system:masters",))


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path, port=0, bind="127.0.0.1", memory=True, kubeconfig=tmp_path / "out" / "config")


@asynccontextmanager
async def reached(running, pair=None):
    """A client of the listener, as the world reaches it."""
    context = tls.client_context(running.identities.authority.bundle, pair)
    pool = HttpPool(f"https://127.0.0.1:{running.port}", tls=context)
    try:
        yield pool
    finally:
        await pool.close()


async def test_the_administrator_gets_in_by_certificate(settings):
    async with (
        master.serving(settings, Progress(None)) as running,
        reached(running, running.identities.admin) as pool,
    ):
        names = {item["metadata"]["name"] for item in (await Client(pool).list(NAMESPACES)).items}
    assert {"default", "kube-system", "kube-public", "kube-node-lease"} <= names


async def test_nobody_gets_health_and_nothing_else(settings):
    async with master.serving(settings, Progress(None)) as running, reached(running) as pool:
        answers = [(await pool(Request("GET", path))).status for path in ("/readyz", "/api/v1/namespaces")]
    assert answers == [200, 403]


async def test_who_is_signed_by_others_is_not_heard(settings, tmp_path):
    from tiphys.pki import authority

    stranger = authority.create("other").issue_client("admin", ("system:masters",))
    async with master.serving(settings, Progress(None)) as running, reached(running, stranger) as pool:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await pool(Request("GET", "/readyz"))


async def test_static_tokens_get_in(settings, tmp_path):
    (tmp_path / "tokens").write_text('secret,alice,1,"system:masters"\n')
    settings = dataclasses.replace(settings, token_file=tmp_path / "tokens")
    async with master.serving(settings, Progress(None)) as running, reached(running) as pool:
        answer = await pool(Request("GET", "/api/v1/nodes", {"authorization": "Bearer secret"}))
    assert answer.status == 200


async def test_the_kubeconfig_is_its_owners_alone_and_leads_in(settings):
    async with master.serving(settings, Progress(None)) as running:
        written = kubeconfig.read(settings.kubeconfig)
        mode = stat.S_IMODE(settings.kubeconfig.stat().st_mode)
    assert mode == 0o600
    assert written["clusters"][0]["cluster"]["server"] == f"https://127.0.0.1:{running.port}"
    assert settings.admin_kubeconfig.read_bytes() == settings.kubeconfig.read_bytes()


async def test_what_was_written_is_there_after_a_restart(settings):
    settings = dataclasses.replace(settings, memory=False)
    made = {"metadata": {"name": "a", "namespace": "default"}, "data": {"k": "v"}}
    async with master.serving(settings, Progress(None)) as running:
        await Client(running.handle, identity=ADMIN).create(CONFIGMAPS, made)
    async with master.serving(settings, Progress(None)) as running:
        kept = await Client(running.handle, identity=ADMIN).get(CONFIGMAPS, "a", "default")
    assert kept["data"] == {"k": "v"}


async def test_a_taken_port_is_named_and_nothing_is_opened(settings):
    async with master.serving(settings, Progress(None)) as running:
        other = dataclasses.replace(settings, port=running.port, memory=False)
        with pytest.raises(CannotServe, match=f"port {running.port} is taken"):
            async with master.serving(other, Progress(None)):
                raise AssertionError("it served")
    assert not other.database.exists()


async def test_a_database_that_somebody_uses_is_named(settings):
    settings = dataclasses.replace(settings, memory=False)
    async with master.serving(settings, Progress(None)):
        with pytest.raises(CannotServe, match="in use by another process"):
            async with master.serving(settings, Progress(None)):
                raise AssertionError("it served")


async def test_stopping_ends_watches_in_good_order(settings):
    async with master.serving(settings, Progress(None)) as running:
        client = Client(running.handle, identity=ADMIN)
        revision = (await client.list(NAMESPACES)).resource_version

        async def follow():
            return [event async for event in client.watch(NAMESPACES, resource_version=revision)]

        following = asyncio.create_task(follow())
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        assert await following == []


async def test_before_it_is_ready_it_says_so():
    answer = await master._not_ready(Request("GET", "/api"))
    assert (answer.status, orjson.loads(answer.body)["reason"]) == (503, "ServiceUnavailable")


@pytest.mark.parametrize(
    ("bind", "error", "text"),
    [
        ("203.0.113.7", None, "cannot listen on 203.0.113.7:0"),
        ("127.0.0.1", PermissionError(13, "Permission denied"), "port 0 needs root: choose one above 1023"),
    ],
)
async def test_why_it_cannot_listen_is_told(settings, monkeypatch, bind, error, text):
    async def refuse(*arguments, **more):
        raise error

    if error is not None:
        monkeypatch.setattr(master.http, "start", refuse)
    with pytest.raises(CannotServe, match=text):
        async with master.serving(dataclasses.replace(settings, bind=bind), Progress(None)):
            raise AssertionError("it served")


async def test_a_damaged_database_is_named_and_nothing_is_served_from_it(settings):
    settings = dataclasses.replace(settings, memory=False)
    settings.database.write_bytes(b"this is no database" * 1000)
    with pytest.raises(CannotServe, match=r"state\.db"):
        async with master.serving(settings, Progress(None)):
            raise AssertionError("it served")


async def test_static_tokens_that_cannot_be_read_are_named(settings, tmp_path):
    (tmp_path / "tokens").write_text("a line without commas\n")
    with pytest.raises(CannotServe, match="tokens"):
        async with master.serving(dataclasses.replace(settings, token_file=tmp_path / "tokens"), Progress(None)):
            raise AssertionError("it served")


@pytest.mark.parametrize(("code", "reason"), [(400, "BadRequest"), (413, "RequestEntityTooLarge"), (408, "Timeout")])
def test_what_never_reached_the_api_server_is_answered_with_a_status_too(code, reason):
    answer = master._refused(code, "too much")
    told = orjson.loads(answer.body)
    assert (answer.status, told["kind"], told["reason"], told["message"]) == (code, "Status", reason, "too much")
