"""Lost, never scheduled and surplus finished pods are collected."""

from builders import pod
from tiphys.controllers.podgc.plan import QUARANTINE_SECONDS, plan_finished, plan_lost, plan_unscheduled
from tiphys.reconcile.commands import Delete, Patch, Requeue


def test_a_pod_of_a_missing_node_waits_for_the_node_to_come_back():
    assert plan_lost(pod("a"), 100.0, 110.0) == [Requeue(QUARANTINE_SECONDS - 10)]


def test_a_lost_pod_fails_before_it_is_removed():
    failed, removed = plan_lost(pod("a"), 100.0, 200.0)
    assert isinstance(failed, Patch) and failed.patch["status"]["phase"] == "Failed"
    assert isinstance(removed, Delete) and removed.grace_seconds == 0


def test_a_finished_pod_of_a_missing_node_is_only_removed():
    assert [type(c) for c in plan_lost(pod("a", phase="Succeeded"), 100.0, 200.0)] == [Delete]


def test_a_pod_deleted_before_it_had_a_node_goes():
    assert len(plan_unscheduled(pod("a", node="", deleting=True))) == 1
    assert plan_unscheduled(pod("a", node="")) == []


def test_the_oldest_finished_pods_beyond_the_threshold_go():
    pods = [pod(f"p{n}", phase="Failed", created=f"2027-01-15T08:00:0{n}Z") for n in range(3)]
    assert [c.key[1] for c in plan_finished([*pods, pod("runs")], most=1)] == ["p0", "p1"]
    assert plan_finished(pods, most=3) == []
