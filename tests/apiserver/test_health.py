"""Pages about the server itself."""

import orjson
import pytest

from tiphys.api import errors
from tiphys.apiserver import health
from tiphys.apiserver.call import Call
from tiphys.apiserver.health import Health
from tiphys.wire.messages import Request


def call(path, method="GET", accept="", **query):
    return Call(Request(method, path, {"accept": accept}), method.lower(), path, {k: [v] for k, v in query.items()})


async def text(path, *, well=True, **query):
    answer = await Health({"shutdown": lambda: well}).page(call(path, **query))
    return answer.status, answer.body.decode()


async def test_a_well_server_says_ok_and_no_more():
    assert await text("/healthz") == await text("/livez") == await text("/readyz/ping") == (200, "ok")


async def test_verbose_lists_the_checks():
    status, told = await text("/livez", verbose="")
    assert (status, told) == (200, "[+]ping ok\n[+]log ok\n[+]etcd ok\nlivez check passed\n")


async def test_a_server_that_goes_down_is_alive_but_not_ready():
    assert (await text("/livez", well=False))[0] == 200
    status, told = await text("/readyz", well=False)
    assert status == 500 and "[-]shutdown failed: reason withheld" in told


async def test_a_check_can_be_left_out():
    assert (await text("/readyz", well=False, exclude="shutdown"))[0] == 200
    told = (await text("/readyz", verbose="", exclude="none"))[1]
    assert 'warn: some health checks cannot be excluded: no matches for "none"' in told


async def test_a_check_that_there_is_not_is_left_to_others():
    assert await Health({}).page(call("/livez/none")) is None


async def test_the_version_is_one_that_clients_can_parse():
    body = orjson.loads((await health.version_page(call("/version"))).body)
    assert (body["major"], body["minor"]) == ("1", "36")
    assert body["gitVersion"].startswith("v1.36.2+tiphys")


async def test_the_version_is_json_only():
    with pytest.raises(errors.StatusError) as refused:
        await health.version_page(call("/version", accept="application/yaml"))
    assert refused.value.status["message"].endswith("Available representations: application/json")


async def test_metrics_are_prometheus_text():
    answer = await health.metrics_page(call("/metrics"))
    assert b"# TYPE apiserver_request_total counter" in answer.body


async def test_the_root_lists_every_path():
    paths = orjson.loads((await health.paths_page(call("/"))).body)["paths"]
    assert {"/apis/apps/v1", "/livez/ping", "/openapi/v3", "/version"} <= set(paths)
