"""Nodes by the value of a label, and by what selectors say of them."""

import numpy as np

from builders import node
from scheduler_builders import Cluster
from tiphys.scheduler import node_mask, topology
from tiphys.scheduler.node_mask import NodeMasks
from tiphys.scheduler.topology import ZONE, Topology


def zoned(name, zone):
    return node(name, labels={ZONE: zone})


def table(*nodes):
    return Cluster(*nodes).state.table


def ones(nodes):
    return np.where(nodes.exists, 1.0, 0.0)


def by_zone(found, nodes):
    """Zone → how many nodes."""
    totals = found.of(ZONE).totals(ones(nodes))
    return {zone: totals[number] for zone, number in found.of(ZONE).numbers.items() if totals[number]}


def test_rows_are_counted_by_domain_and_those_without_a_label_not_at_all():
    nodes = table(zoned("a1", "a"), zoned("a2", "a"), zoned("b1", "b"), node("plain"))
    assert by_zone(Topology(nodes), nodes) == {"a": 2, "b": 1}
    assert not Topology(nodes).of(ZONE).complete


def test_a_node_that_moves_or_goes_is_seen():
    nodes = table(zoned("a1", "a"), zoned("a2", "a"))
    found = Topology(nodes)
    assert by_zone(found, nodes) == {"a": 2}
    nodes.put(zoned("a2", "b"))
    assert by_zone(found, nodes) == {"a": 1, "b": 1}
    nodes.remove("a1")
    assert by_zone(found, nodes) == {"b": 1}


def test_values_of_nodes_that_went_are_forgotten_in_the_end(monkeypatch):
    monkeypatch.setattr(topology, "VALUES_SPARE", 2)
    nodes = table()
    found = Topology(nodes)
    for number in range(60):
        nodes.put(zoned("a", f"z{number}"))
        found.of(ZONE)
    assert len(found.of(ZONE).numbers) <= nodes.rows + 3 and by_zone(found, nodes) == {"z59": 1}


def test_keys_that_nobody_asks_for_are_forgotten():
    found = Topology(table(node("a")))
    for number in range(topology.KEYS_MAX + 5):
        found.of(f"key-{number}")
    assert len(found._known) == topology.KEYS_MAX


def test_a_selector_of_nodes_is_asked_only_about_those_that_changed(monkeypatch):
    asked = []
    meets = node_mask.meets
    monkeypatch.setattr(node_mask, "meets", lambda terms, each: asked.append(each) or meets(terms, each))
    nodes = table(zoned("a", "a"), zoned("b", "b"), zoned("c", "c"))
    masks = NodeMasks(nodes, Topology(nodes))
    terms = [{"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["b"]}]}]
    assert [name for name, row in nodes.row_of.items() if masks.of(terms)[row]] == ["b"] and len(asked) == 1
    nodes.put(zoned("a", "b"))
    assert masks.of(terms)[nodes.row_of["a"]] and len(asked) == 2
