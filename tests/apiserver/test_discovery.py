"""What is served, as kubectl and client-go ask for it."""

import orjson
import pytest

from tiphys.api import errors, resources
from tiphys.apiserver.call import Call
from tiphys.apiserver.discovery import Discovery, storage_version_hash
from tiphys.wire.messages import Request

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


async def ask(path, method="GET", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await Discovery(resources.builtin).page(Call(Request(method, path, named), method.lower(), path, {}))


async def document(path, **headers):
    return orjson.loads((await ask(path, **headers)).body)


async def test_a_group_names_its_versions_best_first():
    group = await document("/apis/autoscaling")
    assert [one["version"] for one in group["versions"]] == ["v2", "v1"]
    assert group["preferredVersion"]["groupVersion"] == "autoscaling/v2"


async def test_a_trailing_slash_changes_nothing():
    assert await document("/apis/apps/") == await document("/apis/apps")


async def test_every_group_is_listed():
    groups = {one["name"] for one in (await document("/apis"))["groups"]}
    assert groups == {resource.group for resource in resources.builtin() if resource.group}


async def test_a_version_lists_resources_with_their_verbs():
    listed = {one["name"]: one for one in (await document("/api/v1"))["resources"]}
    assert listed["pods"]["shortNames"] == ["po"] and "watch" in listed["pods"]["verbs"]
    assert (listed["pods/eviction"]["group"], listed["pods/eviction"]["kind"]) == ("policy", "Eviction")
    assert "storageVersionHash" not in listed["bindings"]


def test_the_storage_version_hash_is_that_of_kubernetes():
    assert storage_version_hash(resources.get("", "v1", "configmaps")) == "qFsyl6wFWjQ="
    both = {storage_version_hash(resources.get("autoscaling", v, "horizontalpodautoscalers")) for v in ("v1", "v2")}
    assert both == {"qwQve8ut294="}


async def test_unknown_paths_are_left_to_others():
    assert await ask("/apis/none") is None and await ask("/api/v2") is None and await ask("/version") is None


async def test_aggregated_discovery_holds_subresources_inside():
    apps = next(g for g in (await document("/apis", accept=AGGREGATED))["items"] if g["metadata"]["name"] == "apps")
    listed = {one["resource"]: one for one in apps["versions"][0]["resources"]}
    assert {one["subresource"] for one in listed["deployments"]["subresources"]} == {"scale", "status"}
    assert listed["deployments"]["responseKind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}


async def test_who_holds_the_newest_aggregate_gets_no_other():
    first = await ask("/api", accept=AGGREGATED)
    assert "as=APIGroupDiscoveryList" in dict(first.headers)["content-type"]
    again = await ask("/api", accept=AGGREGATED, if_none_match=dict(first.headers)["etag"])
    assert (again.status, again.body) == (304, b"")


async def test_the_core_group_keeps_its_old_shape():
    assert (await document("/api"))["versions"] == ["v1"]
    assert "apiVersion" not in await document("/api/v1")


async def test_groups_take_every_method_and_lists_of_resources_only_get():
    assert (await ask("/apis/apps", "DELETE")).status == 200
    with pytest.raises(errors.StatusError) as refused:
        await ask("/apis/apps/v1", "DELETE")
    assert refused.value.status["code"] == 405


@pytest.mark.parametrize(
    ("path", "start"), [("/apis/batch", "only the following media types"), ("/apis/batch/v1", "406: Not Acceptable")]
)
async def test_the_two_stages_of_negotiation_refuse_in_their_own_words(path, start):
    with pytest.raises(errors.StatusError) as refused:
        await ask(path, accept="text/html")
    assert refused.value.status["message"].startswith(start)


async def test_discovery_comes_as_yaml_too():
    answer = await ask("/apis/apps", accept="application/yaml")
    assert answer.body.startswith(b"apiVersion: v1\nkind: APIGroup\nname: apps\n")
