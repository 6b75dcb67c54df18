"""kr8s, the short client of the Dask people: objects with verbs, watches and waits."""

import asyncio

import kr8s
import pytest
from kr8s.asyncio import api as connect
from kr8s.asyncio.objects import ConfigMap, Deployment, Namespace, Pod

POD = {
    "metadata": {"name": "p", "labels": {"app": "web"}},
    "spec": {"containers": [{"name": "c", "image": "r.test/i"}]},
}

# It does not know servers of this age yet, and says so.
pytestmark = pytest.mark.filterwarnings("ignore:Kubernetes version:UserWarning")


@pytest.fixture
async def api(server):
    api = await connect(kubeconfig=str(server.kubeconfig))
    yield api
    await api._session.aclose()


@pytest.fixture
def made(api, namespace):
    """Create an object of a class in the namespace."""

    async def make(kind, body):
        fresh = await kind({**body, "metadata": {**body["metadata"], "namespace": namespace}}, api=api)
        await fresh.create()
        return fresh

    return make


async def names(found):
    return [item.name async for item in found]


async def test_it_knows_the_server_and_its_kinds(api):
    assert (await api.version())["major"] == "1"
    assert {"pods", "deployments", "leases"} <= {resource["name"] for resource in await api.api_resources()}
    assert await api.lookup_kind("deploy") == ("deployment.apps/v1", "deployments", True)


async def test_objects_are_found_by_label_field_and_name(api, namespace, made):
    await made(ConfigMap, {"metadata": {"name": "a", "labels": {"tier": "web"}}, "data": {"k": "v"}})
    await made(ConfigMap, {"metadata": {"name": "b"}})
    assert await names(api.get("configmaps", namespace=namespace, label_selector={"tier": "web"})) == ["a"]
    assert await names(api.get("cm", namespace=namespace, field_selector={"metadata.name": "b"})) == ["b"]
    with pytest.raises(kr8s.NotFoundError):
        await ConfigMap.get("none", namespace=namespace, api=api)


async def test_an_object_is_labelled_annotated_patched_and_deleted(made):
    config = await made(ConfigMap, {"metadata": {"name": "a"}, "data": {"k": "v"}})
    await config.label(tier="web")
    await config.annotate(note="hello")
    await config.patch({"data": {"k": "w"}})
    await config.patch([{"op": "add", "path": "/data/x", "value": "y"}], type="json")
    await config.refresh()
    assert (config.labels.tier, config.annotations.note) == ("web", "hello")
    assert dict(config.data) == {"k": "w", "x": "y"}
    await config.delete()
    assert not await config.exists()


async def test_a_pod_waits_until_it_is_gone(api, namespace, made):
    pod = await made(Pod, POD)
    assert not await pod.ready()
    await pod.delete()
    await pod.wait("delete", timeout=5)
    assert await names(api.get("pods", namespace=namespace)) == []


async def test_a_deployment_scales_and_its_pods_are_found(made):
    spec = {"selector": {"matchLabels": {"app": "web"}}, "template": {**POD, "metadata": {"labels": {"app": "web"}}}}
    web = await made(Deployment, {"metadata": {"name": "web"}, "spec": spec})
    await web.scale(3)
    async with asyncio.timeout(10):
        while len(await web.pods()) != 3:  # noqa: ASYNC110 - another process makes them
            await asyncio.sleep(0.02)


async def test_a_watch_tells_what_is_and_what_comes(api, namespace, made):
    config = await made(ConfigMap, {"metadata": {"name": "a"}})
    watching = api.watch("configmaps", namespace=namespace, field_selector={"metadata.name": "a"})
    assert (await anext(watching))[0] == "ADDED"
    await config.label(tier="web")
    kind, changed = await anext(watching)
    assert (kind, changed.labels.tier) == ("MODIFIED", "web")
    await watching.aclose()


async def test_it_knows_who_it_is(api, namespace):
    assert await api.whoami() == "kubernetes-admin"
    assert (await Namespace.get(namespace, api=api)).status.phase == "Active"
