"""What is used where."""

from builders import node, pod
from scheduler_builders import Cluster
from tiphys.api.selectors import Selector
from tiphys.scheduler.nodes import PODS
from tiphys.scheduler.terms import PodSelector

EVERYBODY = (PodSelector(frozenset(("shop",)), Selector()),)


def cluster(*names):
    found = Cluster(*(node(name) for name in names))
    return found.state.table, found.state.ledger


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
    found = Cluster(node("a"))
    table, ledger = found.state.table, found.state.ledger
    ledger.place(pod("web"), "a")
    ledger.node_removed("a")
    table.remove("a")
    assert not found.world.groups.tally(EVERYBODY).any()
    table.put(node("a"))
    ledger.node_added("a")
    assert count(table, "a") == 1 and found.world.groups.tally(EVERYBODY)[table.row_of["a"]] == 1


def test_what_would_be_is_forgotten():
    table, ledger = cluster("a")
    ledger.place(pod("web"), "a")
    with ledger.without(ledger.on("a")):
        assert count(table, "a") == 0
    assert count(table, "a") == 1


def test_a_pod_on_its_way_out_counts_for_room_and_not_for_spreading():
    found = Cluster(node("a"))
    found.put(pod("web"), "a")
    found.put(pod("web", deleting=True), "a")
    assert count(found.state.table, "a") == 1
    assert not found.world.groups.tally(EVERYBODY, with_ending=False).any()


def test_a_resized_pod_is_counted_anew():
    table, ledger = cluster("a")
    ledger.place(pod("web"), "a")
    grown = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}
    ledger.place(pod("web", containers=[grown]), "a")
    assert (table.used[0, table.row_of["a"]], count(table, "a")) == (1000, 1)
