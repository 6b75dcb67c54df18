"""What is used where."""

from builders import node, pod, replicaset
from tiphys.scheduler.ledger import Ledger
from tiphys.scheduler.nodes import PODS, NodeTable


def cluster(*names):
    table = NodeTable()
    for name in names:
        table.put(node(name))
    return table, Ledger(table)


def count(table, name):
    return int(table.used[PODS, table.row_of[name]])


def test_confirming_what_was_assumed_counts_once():
    table, ledger = cluster("a")
    for _ in range(2):
        ledger.place(pod("web"), "a")
    assert count(table, "a") == 1


def test_a_pod_that_turns_up_elsewhere_is_moved():
    table, ledger = cluster("a", "b")
    ledger.place(pod("web"), "a")
    ledger.place(pod("web"), "b")
    assert (count(table, "a"), count(table, "b")) == (0, 1)


def test_removing_what_is_not_there_says_so():
    _, ledger = cluster("a")
    assert not ledger.remove("nobody")


def test_a_pod_seen_before_its_node_is_counted_when_the_node_comes():
    table, ledger = cluster("a")
    ledger.place(pod("web"), "late")
    table.put(node("late"))
    ledger.node_added("late")
    assert count(table, "late") == 1


def test_a_node_that_comes_back_finds_its_pods_again():
    table, ledger = cluster("a")
    ledger.place(pod("web", owner=replicaset(1)), "a")
    ledger.node_removed("a")
    table.remove("a")
    table.put(node("a"))
    ledger.node_added("a")
    assert count(table, "a") == 1 and ledger.spread(pod("other", owner=replicaset(1)))[table.row_of["a"]] == 1


def test_owners_are_forgotten_with_their_last_pod():
    _, ledger = cluster("a")
    ledger.place(pod("web", owner=replicaset(1)), "a")
    ledger.remove("uid-web")
    assert ledger.spread(pod("web", owner=replicaset(1))) is None


def test_a_resized_pod_is_counted_anew():
    table, ledger = cluster("a")
    ledger.place(pod("web"), "a")
    grown = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}
    ledger.place(pod("web", containers=[grown]), "a")
    assert (table.used[0, table.row_of["a"]], count(table, "a")) == (1000, 1)
