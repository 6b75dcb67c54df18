"""Pods that depend on something are born with a gate; annotations that mean nothing are refused."""

import pytest

from apiserver.security_builders import World, attributes
from tiphys.api.errors import StatusError
from tiphys.apiserver.admission import own_annotations

GATE = [{"name": "tiphys.io/depends-on"}]
NEEDS_DB = {"tiphys.io/depends-on": "deploy/db"}


def uid(name):
    return f"uid-{name}".ljust(36, "0")


def obj(name, said=None, owner=None, **spec):
    meta = {"name": name, "namespace": "shop", "uid": uid(name), "annotations": said or {}}
    if owner is not None:
        kind, owner_name = owner.split("/")
        meta["ownerReferences"] = [{"kind": kind, "name": owner_name, "uid": uid(owner_name), "controller": True}]
    return {"metadata": meta, "spec": spec}


def gates(pod, world=None):
    asked = attributes(pod)
    own_annotations.plugin((world or World()).cache).mutate(asked)
    return asked.object["spec"].get("schedulingGates")


def test_a_pod_that_depends_on_something_waits():
    assert gates(obj("web", NEEDS_DB)) == GATE
    assert gates(obj("web")) is None


def test_a_pod_waits_for_what_its_workload_depends_on():
    world = World()
    world.put("apps", "deployments", obj("web", NEEDS_DB))
    world.put("apps", "replicasets", obj("web-1", owner="Deployment/web"))
    assert gates(obj("web-1-a", owner="ReplicaSet/web-1"), world) == GATE


def test_a_copy_of_what_was_said_once_does_not_count():
    world = World()
    world.put("apps", "deployments", obj("web"))
    world.put("apps", "replicasets", obj("web-1", NEEDS_DB, owner="Deployment/web"))
    world.put("apps", "replicasets", obj("alone", NEEDS_DB))
    assert gates(obj("web-1-a", owner="ReplicaSet/web-1"), world) is None
    assert gates(obj("alone-a", owner="ReplicaSet/alone"), world) == GATE


def test_a_pod_that_has_its_node_does_not_wait():
    assert gates(obj("web", NEEDS_DB, nodeName="n1")) is None


def test_other_gates_stay_and_ours_is_there_once():
    assert gates(obj("web", NEEDS_DB, schedulingGates=[{"name": "x"}])) == [{"name": "x"}, *GATE]
    assert gates(obj("web", NEEDS_DB, schedulingGates=GATE)) == GATE


def test_an_annotation_that_means_nothing_is_refused():
    broken = obj("web", {"tiphys.io/on-failure": "explode"})
    with pytest.raises(StatusError, match="'explode' is neither 'rollback' nor 'pause'") as caught:
        own_annotations.validate(attributes(broken, resource="deployments", group="apps"))
    assert caught.value.code == 422


def test_what_was_there_before_may_stay():
    broken = obj("web", {"tiphys.io/on-failure": "explode"})
    assert own_annotations.validate(attributes(broken, old=broken)) is None
