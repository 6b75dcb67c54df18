"""A ReplicationController keeps its pods as a ReplicaSet does, and tells what its own kind has fields for."""

from builders import pod, replication_controller
from tiphys.api.objects import controller_of, parse_timestamp
from tiphys.controllers.replicationcontroller.controller import ReplicationControllerController
from tiphys.controllers.replicationcontroller.plan import plan
from tiphys.reconcile.commands import Create, Delete, Requeue, Update

NOW = parse_timestamp("2027-01-15T08:00:30Z")
COUNTS = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration")


def test_settled_means_no_commands():
    settled = dict.fromkeys(COUNTS, 1)
    assert plan(replication_controller(1, settled), [pod("web-a")], NOW) == []


def test_creates_what_is_missing_and_owns_it():
    created = [c for c in plan(replication_controller(2), [pod("web-a")], NOW) if isinstance(c, Create)]
    assert [controller_of(c.object)["kind"] for c in created] == ["ReplicationController"]


def test_deletes_what_is_too_much():
    deleted = [c for c in plan(replication_controller(0), [pod("web-a")], NOW) if isinstance(c, Delete)]
    assert [c.key for c in deleted] == [("shop", "web-a")]


def test_pods_that_go_have_no_field_in_its_status():
    (told,) = [c for c in plan(replication_controller(0), [pod("a", deleting=True)], NOW) if isinstance(c, Update)]
    assert told.object["status"] == {"replicas": 0, "observedGeneration": 1}


def test_comes_back_when_a_ready_pod_will_be_available():
    assert Requeue(10.0) in plan(replication_controller(1, minReadySeconds=40), [pod("web-a")], NOW)


async def test_a_pod_that_matches_is_adopted_and_a_missing_one_made(plane):
    await plane.start(ReplicationControllerController)
    spec = {"containers": [{"name": "c", "image": "i"}]}
    await plane.create("v1", "Pod", "orphan", labels={"app": "web"}, spec=spec)
    wanted = {"replicas": 2, "template": {"metadata": {"labels": {"app": "web"}}, "spec": spec}}
    await plane.create("v1", "ReplicationController", "web", spec=wanted)
    await plane.settled()
    assert [controller_of(found)["name"] for found in await plane.list("Pod")] == ["web", "web"]
    assert (await plane.get("ReplicationController", "web"))["status"]["replicas"] == 2
