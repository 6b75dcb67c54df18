"""What makes one node better than another."""

import numpy as np
import pytest

from builders import node, pod
from tiphys.scheduler.nodes import CPU, MEMORY, NodeTable
from tiphys.scheduler.scores import resource_score, resource_scores, spread_scores, static_preference

SOFT = {"key": "old", "effect": "PreferNoSchedule"}


def used(table, name, **amounts):
    columns = {"cpu": CPU, "memory": MEMORY}
    table.use(table.row_of[name], {columns[each]: amount for each, amount in amounts.items()}, (), 1)


@pytest.fixture
def table():
    nodes = NodeTable()
    for name in ("free", "busy", "lopsided"):
        nodes.put(node(name))
    used(nodes, "busy", cpu=2000, memory=4 << 30)
    used(nodes, "lopsided", cpu=4000)
    return nodes


def test_a_free_node_is_better_than_a_busy_one_and_an_even_one_than_a_lopsided_one(table):
    scores = resource_scores(table, {CPU: 100})
    free, busy, lopsided = (scores[table.row_of[name]] for name in ("free", "busy", "lopsided"))
    assert free > busy > lopsided


def test_one_row_is_scored_as_it_is_among_all(table):
    request = {CPU: 300, MEMORY: 1 << 28}
    rows = list(table.row_of.values())
    assert np.allclose(resource_scores(table, request)[rows], [resource_score(table, request, row) for row in rows])


def test_a_pod_that_asks_for_nothing_is_still_assumed_to_cost():
    nodes = NodeTable()
    nodes.put(node("small", cpu="200m"))
    nodes.put(node("large"))
    scores = resource_scores(nodes, {})
    assert scores[nodes.row_of["large"]] > scores[nodes.row_of["small"]]


def test_fewer_siblings_are_better():
    assert list(spread_scores(np.array([2, 0, 1], dtype=np.int32))) == [0.0, 200.0, 100.0]


def test_no_siblings_make_no_difference():
    assert not spread_scores(np.zeros(3, dtype=np.int32)).any()


def test_soft_taints_images_and_preferences_are_weighed():
    term = {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}
    preferred = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": term}]}
    spec = pod("web", affinity={"nodeAffinity": preferred})["spec"]
    holding = node("c")
    holding["status"]["images"] = [{"names": ["i"]}]
    told = [
        static_preference(spec, each) for each in (node("a", taints=[SOFT]), node("b", labels={"disk": ""}), holding)
    ]
    assert told == [-300.0, 200.0, 100.0]
