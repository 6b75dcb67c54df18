"""RFC 7386, and Kubernetes' strategic merge."""

import pytest

from tiphys.api import schema
from tiphys.api.patch import merge_patch, strategic
from tiphys.api.patch.strategic import PatchError

POD = "core.v1.Pod"


def containers(*items, **directives):
    return {"spec": {"containers": list(items), **directives}}


def merged(document, patch, name=POD):
    return strategic.apply(document, patch, schema.message(name))


def test_objects_merge_and_null_deletes():
    assert merge_patch.apply({"a": {"x": 1, "y": 2}, "b": 1}, {"a": {"x": None, "z": 3}, "b": [1]}) == {
        "a": {"y": 2, "z": 3},
        "b": [1],
    }


def test_a_patch_of_nothing_keeps_no_nulls():
    assert merge_patch.apply({}, {"a": {"b": None, "c": {"d": None}}}) == {"a": {"c": {}}}


def test_a_list_with_a_merge_key_merges_by_it():
    patched = merged(containers({"name": "a", "image": "1"}, {"name": "b"}), containers({"name": "a", "image": "2"}))
    assert patched == containers({"name": "a", "image": "2"}, {"name": "b"})


def test_a_list_without_a_merge_key_is_replaced():
    document = {"spec": {"tolerations": [{"key": "a"}]}}
    assert merged(document, {"spec": {"tolerations": [{"key": "b"}]}}) == {"spec": {"tolerations": [{"key": "b"}]}}


def test_an_element_is_deleted_by_a_directive():
    patch = containers({"name": "a", "$patch": "delete"})
    assert merged(containers({"name": "a"}, {"name": "b"}), patch) == containers({"name": "b"})


def test_a_map_or_list_is_replaced_by_a_directive():
    document = {"metadata": {"labels": {"a": "1"}}}
    replaced = merged(document, {"metadata": {"labels": {"b": "2", "$patch": "replace"}}})
    assert replaced == {"metadata": {"labels": {"b": "2"}}}
    patch = containers({"name": "c"}, {"$patch": "replace"})
    assert merged(containers({"name": "a"}), patch) == containers({"name": "c"})


def test_scalars_merge_into_a_set_and_leave_it():
    document = {"metadata": {"finalizers": ["a", "b"]}}
    assert merged(document, {"metadata": {"finalizers": ["c"]}})["metadata"]["finalizers"] == ["c", "a", "b"]
    gone = merged(
        {"metadata": {"finalizers": ["a", "b"]}}, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}
    )
    assert gone["metadata"]["finalizers"] == ["b"]


def test_an_order_is_set():
    order = {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}
    patched = merged(containers({"name": "a"}, {"name": "b"}), containers({"name": "a", "image": "2"}, **order))
    assert patched == containers({"name": "b"}, {"name": "a", "image": "2"})


def test_only_the_named_keys_are_retained():
    document = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"type": "Recreate", "$retainKeys": ["type"]}}}
    assert merged(document, patch, "apps.v1.Deployment") == {"spec": {"strategy": {"type": "Recreate"}}}


@pytest.mark.parametrize(
    ("patch", "code", "text"),
    [
        (containers({"image": "2"}), 500, "map: map[image:2] does not contain declared merge key: name"),
        ({"metadata": {"$patch": "explode"}}, 500, "unknown patch type: explode in map: map[$patch:explode]"),
        ({"spec": {"$retainKeys": "x"}}, 400, "invalid patch format of $retainKeys"),
    ],
)
def test_a_bad_strategic_patch_is_told_as_kubernetes_does(patch, code, text):
    with pytest.raises(PatchError) as caught:
        merged({"metadata": {"name": "p"}, **containers({"name": "a"})}, patch)
    assert (caught.value.code, str(caught.value)) == (code, text)
