"""Pods over zones and nodes."""

import pytest

from builders import node, pod, replicaset
from scheduler_builders import Cluster
from tiphys.scheduler import spread
from tiphys.scheduler.decide import Refusal
from tiphys.scheduler.topology import ZONE

SIBLINGS = {"matchLabels": {"app": "web"}}


def zoned(name, zone, **fields):
    return node(name, labels={ZONE: zone}, **fields)


def over_zones(name, *, skew=1, hard=True, **fields):
    when = "DoNotSchedule" if hard else "ScheduleAnyway"
    said = {"topologyKey": ZONE, "maxSkew": skew, "whenUnsatisfiable": when, "labelSelector": SIBLINGS, **fields}
    return pod(name, node="", topologySpreadConstraints=[said])


def test_pods_fill_zones_evenly():
    cluster = Cluster(zoned("a1", "a"), zoned("a2", "a"), zoned("b1", "b", cpu="64"))
    placed = [cluster.place(over_zones(f"p{number}"))[0] for number in range(6)]
    assert placed.count("a") == placed.count("b") == 3


def test_a_zone_that_has_enough_waits_for_the_others():
    cluster = Cluster(zoned("a", "a"), zoned("b", "b", unschedulable=True))
    assert cluster.place(over_zones("first")) == "a"
    refusal = cluster.choice(over_zones("second"))
    assert refusal.kinds == {"node(s) were unschedulable", spread.TOO_SKEWED}


@pytest.mark.parametrize(("policy", "fits"), [("Honor", True), ("Ignore", False)])
def test_a_zone_that_the_pod_may_not_go_to_counts_as_its_policy_says(policy, fits):
    cluster = Cluster(zoned("a", "a"), zoned("b", "b", taints=[{"key": "k", "effect": "NoSchedule"}]))
    cluster.place(over_zones("first"))
    assert (cluster.choice(over_zones("second", nodeTaintsPolicy=policy)) == "a") is fits


def test_too_few_zones_make_each_pod_count():
    cluster = Cluster(zoned("a", "a"), zoned("b", "b"))
    told = [cluster.place(over_zones(f"p{number}", minDomains=3)) for number in range(3)]
    assert set(told[:2]) == {"a", "b"} and told[2].kinds == {spread.TOO_SKEWED}


def test_a_node_without_the_label_is_said_to_lack_it():
    assert Cluster(node("a")).choice(over_zones("p")).kinds == {spread.NO_LABEL}


def test_soft_constraints_prefer_and_do_not_refuse():
    cluster = Cluster(zoned("a", "a", cpu="64"), zoned("b", "b"))
    cluster.put(pod("there"), "a")
    assert cluster.choice(over_zones("p", hard=False)) == "b"
    assert Cluster(node("plain")).choice(over_zones("p", hard=False)) == "plain"


def test_pods_on_their_way_out_do_not_count():
    cluster = Cluster(zoned("a", "a"), zoned("b", "b", unschedulable=True))
    cluster.put(pod("old", deleting=True), "a")
    assert cluster.choice(over_zones("p")) == "a"


def test_siblings_are_spread_over_zones_although_they_do_not_ask():
    owner = replicaset(4)
    nodes = [zoned("a1", "a"), zoned("a2", "a"), zoned("a3", "a"), zoned("b1", "b")]
    cluster = Cluster(*nodes)
    cluster.world.siblings.put(owner)
    placed = [cluster.place(pod(f"p{number}", node="", owner=owner)) for number in range(2)]
    assert {name[0] for name in placed} == {"a", "b"}


def test_pods_of_nobody_are_not_spread():
    cluster = Cluster(node("a"), node("b"))
    assert cluster.state.asks(pod("p", node="")).relation is None
    assert not isinstance(cluster.place(pod("p", node="")), Refusal)
