"""Requests as the API expects them, and failures as the Status that the server gave."""

import orjson
import pytest

from tiphys.api import resources
from tiphys.api.errors import StatusError, failure
from tiphys.client.client import MERGE_PATCH, Client
from tiphys.wire.messages import Identity, Response

CONFIGMAPS, PODS = resources.get("", "v1", "configmaps"), resources.get("", "v1", "pods")


class Recording:
    """Answers everything with `response` and keeps what was asked."""

    def __init__(self, response=None):
        self.response, self.requests = response or Response(200, body=b"{}"), []

    async def __call__(self, request):
        self.requests.append(request)
        return self.response

    @property
    def last(self):
        return self.requests[-1]


async def streamed(*chunks):
    for chunk in chunks:
        yield chunk


async def test_items_of_a_list_say_what_they_are(client, put):
    await put("a")
    listing = await client.list(CONFIGMAPS, "shop")
    assert [(item["apiVersion"], item["kind"]) for item in listing.items] == [("v1", "ConfigMap")]
    assert listing.resource_version.isdigit()


async def test_parameters_that_are_empty_are_not_sent():
    handler = Recording()
    await Client(handler).list(CONFIGMAPS, "shop", labelSelector="", fieldSelector="metadata.name=a")
    assert handler.last.target == "/api/v1/namespaces/shop/configmaps?fieldSelector=metadata.name%3Da"


async def test_a_failure_is_the_status_that_the_server_gave(client):
    with pytest.raises(StatusError) as refused:
        await client.get(CONFIGMAPS, "none", "shop")
    assert (refused.value.code, refused.value.reason) == (404, "NotFound")


async def test_a_failure_that_is_no_status_becomes_one():
    handler = Recording(Response(502, body=streamed(b"<html>bad ", b"gateway")))
    with pytest.raises(StatusError, match="bad gateway") as refused:
        await Client(handler).get(CONFIGMAPS, "a", "shop")
    assert refused.value.code == 502


async def test_an_answer_may_come_in_pieces():
    handler = Recording(Response(200, body=streamed(b'{"metadata":', b'{"name":"a"}}')))
    assert await Client(handler).get(CONFIGMAPS, "a", "shop") == {"metadata": {"name": "a"}}


async def test_a_subresource_is_created_under_the_objects_own_name():
    handler = Recording()
    await Client(handler).create(PODS, {"metadata": {"name": "web"}}, "shop", subresource="binding")
    assert handler.last.target == "/api/v1/namespaces/shop/pods/web/binding"


async def test_an_object_goes_to_its_own_namespace():
    handler = Recording()
    await Client(handler).create(PODS, {"metadata": {"name": "web", "namespace": "shop"}})
    await Client(handler).update(PODS, {"metadata": {"name": "web", "namespace": "shop"}}, subresource="status")
    places = [(request.method, request.target) for request in handler.requests]
    assert places == [("POST", "/api/v1/namespaces/shop/pods"), ("PUT", "/api/v1/namespaces/shop/pods/web/status")]


async def test_a_patch_says_of_which_kind_it_is():
    handler = Recording()
    await Client(handler).patch(PODS, ("shop", "web"), {"spec": {}})
    assert handler.last.headers["content-type"] == MERGE_PATCH


async def test_deletion_carries_only_the_options_that_are_given():
    handler = Recording()
    client = Client(handler)
    await client.delete(PODS, ("shop", "a"))
    await client.delete(PODS, ("shop", "a"), uid="u", grace_seconds=0, propagation="Foreground")
    bare, full = (orjson.loads(request.body) for request in handler.requests)
    kind = {"apiVersion": "v1", "kind": "DeleteOptions"}
    assert bare == kind
    assert full == {**kind, "preconditions": {"uid": "u"}, "gracePeriodSeconds": 0, "propagationPolicy": "Foreground"}


async def test_an_identity_goes_with_each_request_and_can_be_changed():
    handler, alice = Recording(), Identity("alice")
    client = Client(handler, identity=alice)
    await client.get(PODS, "a", "shop")
    await client.acting_as(Identity("bob"), "bobs-tool").get(PODS, "a", "shop")
    seen = [(request.identity.name, request.headers["user-agent"]) for request in handler.requests]
    assert seen == [("alice", "tiphys"), ("bob", "bobs-tool")]


async def test_metadata_alone_can_be_asked_for():
    handler = Recording()
    await Client(handler).metadata_only().list(PODS)
    assert handler.last.headers["accept"] == "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


MANAGERS = [
    [{"manager": 'x]},"spec":{', "fieldsV1": {"f:spec": {'k:{"a":[]}': {}}}}],
    [{"manager": "x", "fieldsV1": {"a": {"b": []}, "spec": {"forged": 1}}}],
]


@pytest.mark.parametrize("managers", MANAGERS)
@pytest.mark.parametrize("rest", [{"spec": {"a": "]},"}}, {}])
async def test_managed_fields_can_be_left_out(managers, rest):
    pod = {"metadata": {"name": "a", "managedFields": managers}, **rest}
    line = orjson.dumps({"type": "ADDED", "object": pod}) + b"\n"
    client = Client(Recording(Response(200, body=streamed(line)))).without_managers()
    (event,) = [event async for event in client.watch(PODS, resource_version="1")]
    assert event.object == {"metadata": {"name": "a"}, "apiVersion": "v1", "kind": "Pod", **rest}


async def test_a_watch_gives_events_of_the_resource_and_bookmarks_as_they_are():
    lines = [
        {"type": "ADDED", "object": {"kind": "PartialObjectMetadata", "metadata": {"name": "a"}}},
        {"type": "BOOKMARK", "object": {"kind": "PartialObjectMetadata", "metadata": {"resourceVersion": "9"}}},
    ]
    handler = Recording(Response(200, body=streamed(*(orjson.dumps(line) + b"\n" for line in lines))))
    events = [event async for event in Client(handler).watch(PODS, resource_version="3")]
    assert [(event.type, event.object["kind"]) for event in events] == [
        ("ADDED", "Pod"),
        ("BOOKMARK", "PartialObjectMetadata"),
    ]
    assert handler.last.target == "/api/v1/pods?watch=1&resourceVersion=3&allowWatchBookmarks=true"


async def test_an_error_within_a_watch_is_raised():
    gone = {"type": "ERROR", "object": failure(410, "Expired", "too old").status}
    handler = Recording(Response(200, body=streamed(orjson.dumps(gone) + b"\n")))
    with pytest.raises(StatusError, match="too old"):
        _ = [event async for event in Client(handler).watch(PODS, resource_version="3")]


async def test_a_watch_that_is_refused_is_raised():
    handler = Recording(Response(403, body=orjson.dumps(failure(403, "Forbidden", "not you").status)))
    with pytest.raises(StatusError, match="not you"):
        _ = [event async for event in Client(handler).watch(PODS, resource_version="3")]
