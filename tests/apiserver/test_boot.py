"""What a cluster has from the first moment."""

import asyncio

from tiphys.api import resources
from tiphys.apiserver.server import ApiServer
from tiphys.store.memory import MemoryStore


async def names(ask, path):
    return {item["metadata"]["name"] for item in (await ask("GET", path)).body["items"]}


async def test_system_namespaces_and_priorities_are_there(ask):
    assert {"default", "kube-system", "kube-public", "kube-node-lease"} <= await names(ask, "/api/v1/namespaces")
    priorities = await names(ask, "/apis/scheduling.k8s.io/v1/priorityclasses")
    assert priorities == {"system-node-critical", "system-cluster-critical"}


async def test_every_served_version_has_an_apiservice_and_the_core_comes_first(ask):
    items = (await ask("GET", "/apis/apiregistration.k8s.io/v1/apiservices")).body["items"]
    versions = {(item["spec"].get("group", ""), item["spec"]["version"]) for item in items}
    assert versions == {(resource.group, resource.version) for resource in resources.builtin()}
    assert max(items, key=lambda item: item["spec"]["groupPriorityMinimum"])["metadata"]["name"] == "v1."


async def test_a_group_that_is_served_here_is_available(ask):
    found = (await ask("GET", "/apis/apiregistration.k8s.io/v1/apiservices/v1.apps")).body
    assert [(one["type"], one["status"], one["reason"]) for one in found["status"]["conditions"]] == [
        ("Available", "True", "Local")
    ]


async def test_flow_schemas_name_levels_that_exist(ask):
    base = "/apis/flowcontrol.apiserver.k8s.io/v1"
    levels = await names(ask, f"{base}/prioritylevelconfigurations")
    schemas = (await ask("GET", f"{base}/flowschemas")).body["items"]
    assert schemas and {item["spec"]["priorityLevelConfiguration"]["name"] for item in schemas} <= levels


async def test_a_second_start_writes_nothing():
    store = MemoryStore()
    for _ in range(2):
        server = ApiServer(store)
        await server.start()
        following = asyncio.create_task(server.run())
        before = store.revision
        await server.boot()
        following.cancel()
    assert store.revision == before > 0
