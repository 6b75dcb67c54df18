"""The schema as a document."""

import gzip

import orjson
import pytest

from tiphys.api import errors, resources
from tiphys.apiserver.call import Call
from tiphys.apiserver.openapi import documents, protobuf
from tiphys.apiserver.openapi.page import V2_PROTOBUF, OpenApi
from tiphys.wire.messages import Request


def call(path, query=None, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Call(Request("GET", path, named), "get", path, query or {})


@pytest.fixture(scope="module")
def apps():
    return documents.v3([resource for resource in resources.builtin() if resource.group == "apps"])


@pytest.fixture(scope="module")
def whole():
    return documents.v2(resources.builtin())


def test_a_patch_says_its_kind_and_that_fields_are_validated(apps):
    patch = apps["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert {"dryRun", "fieldValidation"} <= {one["name"] for one in patch["parameters"]}
    kind = {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert (patch["x-kubernetes-group-version-kind"], patch["x-kubernetes-action"]) == (kind, "patch")
    assert "application/apply-patch+yaml" in patch["requestBody"]["content"]


def test_every_reference_leads_somewhere(apps):
    text = orjson.dumps(apps).decode()
    schemas = apps["components"]["schemas"]
    named = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named == set(schemas)
    assert "#/definitions/" not in text and "io.k8s.api.batch.v1.Job" not in schemas


def test_a_reference_stands_alone_in_v3(apps):
    spec = apps["components"]["schemas"]["io.k8s.api.apps.v1.Deployment"]["properties"]["spec"]
    assert set(spec) == {"description", "allOf"}


def test_quantities_may_be_numbers_in_v3(apps):
    quantity = apps["components"]["schemas"]["io.k8s.apimachinery.pkg.api.resource.Quantity"]
    assert {"type": "number"} in quantity["oneOf"] and "type" not in quantity


def test_operations_have_names_of_their_own_that_clients_know(whole):
    methods = [op for item in whole["paths"].values() for name, op in item.items() if name != "parameters"]
    names = [operation["operationId"] for operation in methods]
    assert len(names) == len(set(names))
    known = {"readAppsV1NamespacedDeploymentScale", "connectCoreV1GetNamespacedPodExec", "deleteCoreV1CollectionNode"}
    assert known | {"listCoreV1PodForAllNamespaces", "createRbacAuthorizationV1NamespacedRole"} <= set(names)


def test_no_verb_is_described_that_is_not_served(whole):
    assert set(whole["paths"]["/api/v1/namespaces"]) == {"parameters", "get", "post"}


def fields(message):
    """The wire: (number, value) of each length-delimited field."""
    at = 0
    while at < len(message):
        tag, at = varint(message, at)
        size, at = varint(message, at)
        if tag & 7 == 2:
            yield tag >> 3, message[at : at + size]
            at += size


def varint(message, at):
    value = shift = 0
    while True:
        byte = message[at]
        value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
        if byte < 0x80:
            return value, at


def test_protobuf_holds_every_definition(whole):
    document = dict(fields(protobuf.encode(whole)))
    assert document[1] == b"2.0"
    named = [dict(fields(entry)) for number, entry in fields(document[9]) if number == 1]
    assert [entry[1].decode() for entry in named] == list(whole["definitions"])
    pod = next(entry[2] for entry in named if entry[1] == b"io.k8s.api.core.v1.Pod")
    assert b"x-kubernetes-group-version-kind" in dict(fields(dict(fields(pod))[31]))[1]


async def test_documents_are_found_by_their_hash():
    page = OpenApi(resources.builtin).page
    places = orjson.loads((await page(call("/openapi/v3"))).body)["paths"]
    path, _, digest = places["apis/apps/v1"]["serverRelativeURL"].partition("?hash=")
    answer = await page(call(path, {"hash": [digest]}, accept_encoding="gzip"))
    headers = dict(answer.headers)
    assert "immutable" in headers["cache-control"] and headers["content-encoding"] == "gzip"
    assert "/apis/apps/v1/deployments" in orjson.loads(gzip.decompress(answer.body))["paths"]
    moved = await page(call(path, {"hash": ["old"]}))
    assert (moved.status, dict(moved.headers)["location"]) == (301, f"{path}?hash={digest}")


async def test_who_holds_a_document_gets_no_other():
    page = OpenApi(resources.builtin).page
    etag = dict((await page(call("/openapi/v3/api/v1"))).headers)["etag"]
    assert (await page(call("/openapi/v3/api/v1", if_none_match=etag))).status == 304


async def test_old_kubectl_gets_protobuf_in_a_media_type_that_it_can_parse():
    asked = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    answer = await OpenApi(resources.builtin).page(call("/openapi/v2", accept=asked))
    assert dict(answer.headers)["content-type"] == V2_PROTOBUF and "@" not in V2_PROTOBUF


async def test_what_cannot_be_given_is_refused():
    with pytest.raises(errors.StatusError) as refused:
        await OpenApi(resources.builtin).page(call("/openapi/v3/api/v1", accept="text/html"))
    assert refused.value.status["code"] == 406


async def test_unknown_versions_are_left_to_others():
    assert await OpenApi(resources.builtin).page(call("/openapi/v3/apis/apps/v9")) is None
