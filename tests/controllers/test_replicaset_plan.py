"""A ReplicaSet reaches its count, loses the cheapest pods first, and tells the truth in its status."""

from builders import pod, replicaset, template
from tiphys.api.objects import parse_timestamp
from tiphys.controllers.replicaset.plan import plan
from tiphys.reconcile.commands import Create, Delete, Requeue, Update
from tiphys.reconcile.pod_template import pod_from
from tiphys.reconcile.replicas import CREATES_PER_PLAN_MAX

NOW = parse_timestamp("2027-01-15T08:00:30Z")
SETTLED = {
    "replicas": 1,
    "fullyLabeledReplicas": 1,
    "readyReplicas": 1,
    "availableReplicas": 1,
    "observedGeneration": 1,
}


def commands(kind, *arguments, **options):
    return [c for c in plan(*arguments, NOW, **options) if isinstance(c, kind)]


def lost(*arguments):
    return [command.key[1] for command in commands(Delete, *arguments)]


def test_settled_means_no_commands():
    assert plan(replicaset(1, SETTLED), [pod("web-a")], NOW) == []


def test_creates_what_is_missing():
    assert len(commands(Create, replicaset(3), [pod("web-a")])) == 2


def test_a_broken_template_is_not_tried_ten_thousand_times():
    assert len(commands(Create, replicaset(10_000), [])) == CREATES_PER_PLAN_MAX


def test_finished_and_going_pods_do_not_count():
    pods = [pod("done", phase="Succeeded"), pod("failed", phase="Failed"), pod("going", deleting=True)]
    assert len(commands(Create, replicaset(1), pods)) == 1


def test_loses_the_unready_pod_first():
    assert lost(replicaset(1), [pod("web-a"), pod("web-b", ready=False)]) == ["web-b"]


def test_loses_the_unassigned_pod_before_the_unready_one():
    pods = [pod("web-a", ready=False), pod("web-b", node="", phase="Pending", ready=False)]
    assert lost(replicaset(1), pods) == ["web-b"]


def test_loses_the_cheap_pod_first():
    cheap = pod("web-b")
    cheap["metadata"]["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": "-10"}
    assert lost(replicaset(1), [pod("web-a"), cheap]) == ["web-b"]


def test_loses_pods_of_the_crowded_node_first():
    pods = [pod("web-a", node="n1"), pod("web-b", node="n2"), pod("web-c", node="n2")]
    assert lost(replicaset(2), pods) == ["web-b"]


def test_loses_the_youngest_of_equals():
    pods = [pod("web-a", created="2027-01-15T07:00:00Z"), pod("web-b", created="2027-01-15T07:30:00Z")]
    assert lost(replicaset(1), pods) == ["web-b"]


def test_a_new_pod_carries_the_template_and_its_owner():
    made = pod_from(template(), replicaset(1))
    assert made["metadata"]["generateName"] == "web-" and made["metadata"]["labels"] == {"app": "web"}
    assert made["metadata"]["ownerReferences"][0]["controller"] is True


def test_a_deleted_one_neither_creates_nor_deletes():
    going = replicaset(3, SETTLED)
    going["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:00Z"
    assert plan(going, [pod("web-a")], NOW) == []


def test_a_failure_becomes_a_condition_before_the_next_attempt():
    first = plan(replicaset(1), [], NOW, "quota exceeded")[0]
    assert isinstance(first, Update)
    condition = first.object["status"]["conditions"][0]
    assert (condition["type"], condition["reason"], condition["message"]) == (
        "ReplicaFailure",
        "FailedCreate",
        "quota exceeded",
    )


def test_a_pod_is_available_only_after_its_ready_seconds():
    patient = replicaset(1, SETTLED)
    patient["spec"]["minReadySeconds"] = 60
    update = commands(Update, patient, [pod("web-a")])[0]
    assert "availableReplicas" not in update.object["status"]
    assert commands(Requeue, patient, [pod("web-a")]) == [Requeue(30.0)]
