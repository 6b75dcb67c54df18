"""Dialogues with the generic verbs, on ConfigMaps."""

from __future__ import annotations

import asyncio

import pytest

SHOP = "/api/v1/namespaces/shop/configmaps"


def configmap(name, **data):
    return {"metadata": {"name": name}, "data": data}


async def test_what_was_created_is_read_back(ask):
    created = await ask("POST", SHOP, configmap("a", k="v"))
    assert created.status == 201
    assert (await ask("GET", f"{SHOP}/a")).body == created.body


async def test_a_taken_name_is_refused(ask):
    await ask("POST", SHOP, configmap("a"))
    again = await ask("POST", SHOP, configmap("a"))
    assert (again.status, again.message) == (409, 'configmaps "a" already exists')


async def test_generated_names_differ(ask):
    body = {"metadata": {"generateName": "g-"}}
    names = {(await ask("POST", SHOP, body)).body["metadata"]["name"] for _ in range(20)}
    assert len(names) == 20 and all(name.startswith("g-") and len(name) == 7 for name in names)


async def test_a_dry_run_stores_nothing(ask):
    assert (await ask("POST", f"{SHOP}?dryRun=All", configmap("a"))).status == 201
    assert (await ask("GET", f"{SHOP}/a")).status == 404


async def test_an_update_of_an_old_version_conflicts(ask):
    first = (await ask("POST", SHOP, configmap("a"))).body
    await ask("PUT", f"{SHOP}/a", configmap("a", k="1"))
    late = await ask("PUT", f"{SHOP}/a", first | {"data": {"k": "2"}})
    assert late.status == 409 and "the object has been modified" in late.message


async def test_an_update_that_changes_nothing_keeps_the_version(ask):
    first = (await ask("POST", SHOP, configmap("a", k="1"))).body
    again = await ask("PUT", f"{SHOP}/a", first)
    assert again.body["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_patches_race_without_a_conflict(ask):
    await ask("POST", SHOP, configmap("a"))
    patches = (ask.patch("merge", f"{SHOP}/a", {"data": {f"k{number}": "v"}}) for number in range(10))
    assert {answer.status for answer in await asyncio.gather(*patches)} == {200}
    assert len((await ask("GET", f"{SHOP}/a")).body["data"]) == 10


async def test_a_finalizer_keeps_the_object_until_it_is_gone(ask):
    await ask("POST", SHOP, {"metadata": {"name": "a", "finalizers": ["example.com/hold"]}})
    marked = await ask("DELETE", f"{SHOP}/a")
    assert marked.body["metadata"]["deletionTimestamp"] and marked.body["kind"] == "ConfigMap"
    await ask.patch("merge", f"{SHOP}/a", {"metadata": {"finalizers": None}})
    assert (await ask("GET", f"{SHOP}/a")).status == 404


async def test_a_delete_with_another_uid_is_refused(ask):
    await ask("POST", SHOP, configmap("a"))
    refused = await ask("DELETE", f"{SHOP}/a", {"preconditions": {"uid": "other"}})
    assert refused.status == 409 and "the UID in the precondition (other)" in refused.message


async def test_a_collection_is_deleted_by_selector(ask):
    await ask("POST", SHOP, configmap("a"))
    await ask("POST", SHOP, {"metadata": {"name": "b", "labels": {"x": "y"}}})
    deleted = await ask("DELETE", f"{SHOP}?labelSelector=x%3Dy")
    assert [item["metadata"]["name"] for item in deleted.body["items"]] == ["b"]
    assert (await ask("GET", f"{SHOP}/a")).status == 200


async def names(ask, query):
    return [item["metadata"]["name"] for item in (await ask("GET", f"{SHOP}{query}")).body["items"]]


async def test_pages_show_the_state_of_the_first(ask):
    for name in "abcd":
        await ask("POST", SHOP, configmap(name))
    first = (await ask("GET", f"{SHOP}?limit=2")).body
    assert first["metadata"]["remainingItemCount"] == 2
    await ask("DELETE", f"{SHOP}/c")
    await ask("POST", SHOP, configmap("bb"))
    assert await names(ask, f"?limit=9&continue={first['metadata']['continue']}") == ["c", "d"]


async def test_an_exact_list_shows_the_past(ask):
    then = (await ask("POST", SHOP, configmap("a"))).body["metadata"]["resourceVersion"]
    await ask("POST", SHOP, configmap("b"))
    await ask("DELETE", f"{SHOP}/a")
    assert await names(ask, f"?resourceVersion={then}&resourceVersionMatch=Exact") == ["a"]


async def test_a_watch_without_a_version_starts_with_what_is_there(ask):
    await ask("POST", SHOP, configmap("a"))
    events = await ask.watch(f"{SHOP}?watch=1", until=1)
    assert [(e["type"], e["object"]["metadata"]["name"]) for e in events] == [("ADDED", "a")]


async def test_a_watch_from_a_version_gives_what_came_after(ask):
    version = (await ask("POST", SHOP, configmap("a"))).body["metadata"]["resourceVersion"]
    await ask("DELETE", f"{SHOP}/a")
    events = await ask.watch(f"{SHOP}?watch=1&resourceVersion={version}", until=1)
    assert [e["type"] for e in events] == ["DELETED"]


async def test_a_watch_list_ends_with_a_marked_bookmark(ask):
    await ask("POST", SHOP, configmap("a"))
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    events = await ask.watch(f"{SHOP}?{query}", until=2)
    assert [e["type"] for e in events] == ["ADDED", "BOOKMARK"]
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_watch_of_one_name_sees_no_other(ask):
    await ask("POST", SHOP, configmap("a"))
    await ask("POST", SHOP, configmap("ab"))
    events = await ask.watch(f"{SHOP}?watch=1&fieldSelector=metadata.name%3Da&timeoutSeconds=1")
    assert [e["object"]["metadata"]["name"] for e in events] == ["a"]


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/api/v1/foos", 404, "the server could not find the requested resource"),
        (f"{SHOP}/none", 404, 'configmaps "none" not found'),
        (f"{SHOP}?limit=abc", 400, 'strconv.ParseInt: parsing "abc": invalid syntax'),
        (f"{SHOP}?resourceVersion=abc", 400, "invalid resource version"),
        (f"{SHOP}?resourceVersionMatch=Exact", 422, "forbidden unless resourceVersion is provided"),
        (f"{SHOP}?continue=garbage", 400, "invalid continue token"),
        (f"{SHOP}/x?resourceVersion=abc", 500, "strconv.ParseUint"),
    ],
)
async def test_a_bad_read_says_what_is_wrong(ask, path, status, text):
    answer = await ask("GET", path)
    assert answer.status == status and text in answer.message


async def test_a_path_outside_the_api_is_plain_text(ask):
    answer = await ask("GET", "/apis/nosuch.example.com/v1/things")
    assert (answer.status, answer.body) == (404, b"404 page not found\n")


async def test_only_what_is_served_is_acceptable(ask):
    assert (await ask("GET", SHOP, accept="text/html")).status == 406
    assert (await ask("GET", SHOP, accept="text/html, */*;q=0.1")).status == 200


async def test_yaml_is_answered_when_asked_for(ask):
    await ask("POST", SHOP, configmap("a", k="v"))
    assert b"kind: ConfigMap\n" in (await ask("GET", f"{SHOP}/a", accept="application/yaml")).body


async def test_options_of_a_wrong_type_are_refused_and_nothing_is_deleted(ask):
    await ask("POST", SHOP, configmap("a"))
    refused = await ask("DELETE", f"{SHOP}/a", {"kind": "DeleteOptions", "gracePeriodSeconds": "soon"})
    text = "json: cannot unmarshal string into Go struct field DeleteOptions.gracePeriodSeconds of type int64"
    assert (refused.status, refused.message) == (400, text)
    assert (await ask("GET", f"{SHOP}/a")).status == 200
