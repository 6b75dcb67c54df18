"""Adoption and release follow Kubernetes' rules."""

from tiphys.api import resources
from tiphys.reconcile.ownership import claim, owner_reference

PODS = resources.get("", "v1", "pods")
OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web", "namespace": "shop", "uid": "u1"}}


def pod(name, *, owner=None, app="web", deleting=False):
    meta = {"name": name, "namespace": "shop", "uid": name, "labels": {"app": app}}
    if owner:
        meta["ownerReferences"] = [owner]
    if deleting:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta}


def is_web(obj):
    return obj["metadata"]["labels"]["app"] == "web"


def claimed(*pods, owner=OWNER):
    result = claim(owner, PODS, pods, is_web)
    return [p["metadata"]["name"] for p in result.owned], [c.key[1] for c in result.commands]


def test_an_orphan_that_matches_is_adopted():
    assert claimed(pod("a")) == (["a"], ["a"])


def test_what_it_owns_and_matches_needs_no_command():
    assert claimed(pod("a", owner=owner_reference(OWNER))) == (["a"], [])


def test_what_it_owns_and_no_longer_matches_is_released():
    assert claimed(pod("a", owner=owner_reference(OWNER), app="other")) == ([], ["a"])


def test_another_controllers_pod_is_left_alone():
    other = {**owner_reference(OWNER), "uid": "u2"}
    assert claimed(pod("a", owner=other)) == ([], [])


def test_nothing_is_adopted_by_an_owner_that_goes_or_when_it_goes_itself():
    going = {**OWNER, "metadata": {**OWNER["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert claimed(pod("a"), owner=going) == ([], [])
    assert claimed(pod("a", deleting=True)) == ([], [])
