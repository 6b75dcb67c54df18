"""The node table and its change logs."""

from builders import node
from tiphys.scheduler.nodes import CPU, PODS, ChangeLog, Load, NodeTable, amount


def table(*nodes):
    found = NodeTable()
    for each in nodes:
        found.put(each)
    return found


def test_a_log_names_the_rows_that_changed_since():
    log = ChangeLog()
    log.mark(3)
    log.mark(5)
    assert (log.since(0), log.since(1), log.since(2)) == ({3, 5}, {5}, set())


def test_a_log_that_forgot_says_so(monkeypatch):
    monkeypatch.setattr("tiphys.scheduler.nodes.CHANGES_MAX", 2)
    log = ChangeLog()
    for row in range(3):
        log.mark(row)
    assert log.since(0) is None and log.since(1) == {1, 2}


def test_amounts_are_in_the_unit_of_their_column():
    assert (amount("cpu", "1500m"), amount("memory", "1Ki"), amount("pods", "110")) == (1500, 1024, 110)


def test_a_node_that_only_beats_changes_nothing():
    nodes = table(node("a"))
    epochs = nodes.facts.epoch, nodes.numbers.epoch
    assert not nodes.put(node("a"))
    assert (nodes.facts.epoch, nodes.numbers.epoch) == epochs


def test_more_room_changes_numbers_and_not_facts():
    nodes = table(node("a"))
    facts = nodes.facts.epoch
    assert nodes.put(node("a", cpu="8"))
    assert nodes.facts.epoch == facts and nodes.allocatable[CPU, nodes.row_of["a"]] == 8000


def test_the_row_of_a_node_that_went_is_blank_and_used_again():
    nodes = table(node("a"))
    row = nodes.row_of["a"]
    nodes.use(row, Load({PODS: 1}, ports=[("", "TCP", 80)]), 1)
    nodes.remove("a")
    nodes.put(node("b"))
    assert nodes.row_of == {"b": row} and nodes.used[PODS, row] == 0 and not nodes.ports


def test_the_table_grows_with_its_nodes():
    nodes = table(*(node(f"n{number}") for number in range(40)))
    assert len(nodes) == 40 and nodes.rows >= 40 and nodes.exists.sum() == 40


def test_ports_are_counted():
    nodes = table(node("a"))
    for sign in (1, 1, -1):
        nodes.use(nodes.row_of["a"], Load({}, ports=[("", "TCP", 80)]), sign)
    assert nodes.ports[nodes.row_of["a"]] == {("", "TCP", 80): 1}
