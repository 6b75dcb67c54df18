"""Metadata of all kinds: names, labels, owners, finalizers, and what never changes."""

import pytest

from api_builders import complaints, created, update_complaints
from tiphys.api import resources, validation


def of_metadata(**metadata):
    return complaints("v1", "ConfigMap", {"metadata": {"name": "a", **metadata}})


def test_a_good_object_has_no_complaints():
    assert of_metadata(labels={"app.kubernetes.io/name": "x", "b": ""}, annotations={"A/b": "any text"}) == []


@pytest.mark.parametrize("name", ["Upper", "under_score", "-a", "a.", "a..b"])
def test_a_name_is_a_dns_subdomain(name):
    (complaint,) = of_metadata(name=name)
    assert complaint.startswith(f'metadata.name: Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist')


def test_a_name_has_an_end():
    (complaint,) = of_metadata(name="a" * 254)
    assert complaint.endswith("must be no more than 253 characters")


def test_a_prefix_of_names_may_end_with_a_hyphen():
    assert of_metadata(generateName="web-") == []
    assert of_metadata(generateName="Web-") != []


def test_a_label_value_counts_bytes():
    (complaint,) = of_metadata(labels={"k": "a" * 64})
    assert complaint == f'metadata.labels: Invalid value: "{"a" * 64}": must be no more than 63 bytes'


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("bad key", "name part must consist of alphanumeric characters"),
        ("/x", "prefix part must be non-empty"),
        ("a/b/c", "a valid label key must consist of"),
        ("x/", "name part must be non-empty"),
    ],
)
def test_keys_are_qualified_names(key, text):
    assert text in of_metadata(annotations={key: ""})[0]


def test_annotations_have_a_quarter_of_a_megabyte():
    assert of_metadata(annotations={"a": "x" * 262143}) == []
    assert of_metadata(annotations={"a": "x" * 262144}) == [
        "metadata.annotations: Too long: may not be more than 262144 bytes"
    ]


def test_one_owner_controls():
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "1", "controller": True}
    (complaint,) = of_metadata(ownerReferences=[owner, {**owner, "uid": "2"}])
    assert complaint.endswith('Found "true" in references for ReplicaSet/r and ReplicaSet/r')


def test_an_owner_is_named_fully_and_is_no_event():
    found = of_metadata(ownerReferences=[{"apiVersion": "a/b/c", "kind": "", "name": "", "uid": ""}])
    assert [each.partition(":")[0].rpartition(".")[2] for each in found] == ["apiVersion", "kind", "name", "uid"]
    event = {"apiVersion": "v1", "kind": "Event", "name": "e", "uid": "1"}
    assert "is disallowed from being an owner" in of_metadata(ownerReferences=[event])[0]


def test_finalizers_of_others_are_qualified():
    assert of_metadata(finalizers=["orphan", "example.com/hold"]) == []
    (complaint,) = of_metadata(finalizers=["hold"])
    assert complaint.startswith('metadata.finalizers[0]: Invalid value: "hold": name is neither a standard')


def test_what_is_being_deleted_gets_no_new_finalizers():
    old = created("v1", "ConfigMap", {"metadata": {"deletionTimestamp": "2030-01-01T00:00:00Z"}})
    new = {"metadata": {**old["metadata"], "finalizers": ["example.com/late"]}}
    assert update_complaints(old, new) == [
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, "
        'found new finalizers []string{"example.com/late"}'
    ]


def test_an_immutable_field_is_reported_by_all_and_by_the_kind():
    old = created("v1", "ConfigMap", {"metadata": {"uid": "1"}})
    new = {**old, "metadata": {**old["metadata"], "uid": "2"}}
    found = validation.validate_update(resources.get("", "v1", "configmaps"), new, old)
    assert [str(error) for error in found] == ['metadata.uid: Invalid value: "2": field is immutable'] * 2


def test_a_custom_resource_has_finalizers_of_any_name():
    widget = resources.Resource("example.com", "v1", "widgets", "Widget", namespaced=True)
    obj = {"metadata": {"name": "a", "namespace": "shop", "finalizers": ["hold"]}}
    assert validation.validate_create(widget, obj) == []
