"""How many placed pods a selector finds, and who holds which term."""

from builders import node, pod
from scheduler_builders import Cluster
from tiphys.api.selectors import from_labels
from tiphys.scheduler import groups
from tiphys.scheduler.nodes import ROWS_FIRST
from tiphys.scheduler.terms import PodSelector


def finding(**labels):
    return (PodSelector(frozenset(("shop",)), from_labels(labels)),)


def count(cluster, *selectors):
    return int(cluster.world.groups.tally(selectors or finding(app="web")).sum())


def test_pods_are_found_before_and_after_somebody_asks():
    cluster = Cluster(node("a"))
    cluster.put(pod("p1"), "a")
    assert count(cluster) == 1
    cluster.put(pod("p2"), "a")
    cluster.put(pod("db", labels={"app": "db"}), "a")
    assert count(cluster) == 2
    cluster.state.ledger.remove("uid-p1")
    assert count(cluster) == 1


def test_a_pod_that_is_relabelled_is_found_otherwise():
    cluster = Cluster(node("a"))
    cluster.put(pod("p"), "a")
    assert count(cluster) == 1
    assert cluster.state.ledger.place(pod("p", labels={"app": "db"}), "a")
    assert (count(cluster), count(cluster, *finding(app="db"))) == (0, 1)


def test_all_selectors_have_to_find_a_pod():
    cluster = Cluster(node("a"))
    cluster.put(pod("p", labels={"app": "web", "tier": "x"}), "a")
    cluster.put(pod("q"), "a")
    assert count(cluster, *finding(app="web"), *finding(tier="x")) == 1


def test_answers_that_nobody_asks_for_are_forgotten_and_found_again(monkeypatch):
    monkeypatch.setattr(groups, "TALLY_CELLS_MAX", 2 * ROWS_FIRST)
    cluster = Cluster(node("a"))
    cluster.put(pod("p"), "a")
    for app in ("web", "x", "y", "z"):
        count(cluster, *finding(app=app))
    cluster.put(pod("q"), "a")
    assert count(cluster) == 2 and len(cluster.world.groups._tallies) == 2


def test_answers_grow_with_the_nodes():
    cluster = Cluster(node("a"))
    cluster.put(pod("p"), "a")
    assert count(cluster) == 1
    for number in range(40):
        cluster.state.table.put(node(f"n{number}"))
        cluster.put(pod(f"p{number}"), f"n{number}")
    assert count(cluster) == 41
