"""What makes one node better than another."""

import numpy as np
import pytest

from builders import node, pod
from tiphys.scheduler.images import Images, normalized
from tiphys.scheduler.nodes import CPU, MEMORY, Load, NodeTable
from tiphys.scheduler.scores import liking, most_is_best, resource_score, resource_scores, scored_of, soft_taints

SOFT = {"key": "old", "effect": "PreferNoSchedule"}


def used(table, name, **amounts):
    columns = {"cpu": CPU, "memory": MEMORY}
    request = {columns[each]: amount for each, amount in amounts.items()}
    table.use(table.row_of[name], Load(request, (request.get(CPU, 0), request.get(MEMORY, 0))), 1)


@pytest.fixture
def table():
    nodes = NodeTable()
    for name in ("free", "busy", "lopsided"):
        nodes.put(node(name))
    used(nodes, "busy", cpu=2000, memory=4 << 30)
    used(nodes, "lopsided", cpu=4000)
    return nodes


def test_a_free_node_is_better_than_a_busy_one_and_an_even_one_than_a_lopsided_one(table):
    scores = resource_scores(table, Load({CPU: 100}, (100, 0)))
    free, busy, lopsided = (scores[table.row_of[name]] for name in ("free", "busy", "lopsided"))
    assert free > busy > lopsided


def test_one_row_is_scored_as_it_is_among_all(table):
    load = Load({CPU: 300, MEMORY: 1 << 28}, (300, 1 << 29))
    rows = list(table.row_of.values())
    assert np.allclose(resource_scores(table, load)[rows], [resource_score(table, load, row) for row in rows])


def test_a_pod_that_asks_for_nothing_is_still_assumed_to_cost():
    assert scored_of(pod("web")) == (100, 200 << 20)
    nodes = NodeTable()
    nodes.put(node("small", cpu="200m"))
    nodes.put(node("large"))
    scores = resource_scores(nodes, Load({}, (100, 200 << 20)))
    assert scores[nodes.row_of["large"]] > scores[nodes.row_of["small"]]


def test_pods_that_ask_for_nothing_are_not_drawn_to_the_most_even_node(table):
    assert resource_scores(table, Load({}, (100, 200 << 20))).max() <= 100
    assert resource_scores(table, Load({CPU: 100}, (100, 200 << 20))).max() > 100


def test_preferred_terms_and_soft_taints_are_summed():
    term = {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}
    preferred = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 7, "preference": term}]}
    spec = pod("web", affinity={"nodeAffinity": preferred})["spec"]
    assert (liking(spec, node("b", labels={"disk": ""})), liking(spec, node("a"))) == (7.0, 0.0)
    assert soft_taints(spec, node("a", taints=[SOFT])) == 1.0
    assert soft_taints({"tolerations": [{"operator": "Exists"}]}, node("a", taints=[SOFT])) == 0.0


def test_the_best_feasible_row_has_all_points():
    raw, feasible = np.array([5.0, 2.0, 1.0]), np.array([False, True, True])
    assert list(most_is_best(raw, feasible)[1:]) == [100.0, 50.0]
    assert most_is_best(np.zeros(3), feasible) is None


def test_an_image_counts_by_its_size_and_by_how_many_nodes_have_it():
    images = Images()
    images.put(0, [{"names": ["web:latest"], "sizeBytes": 500 << 20}])
    alone = images.score(["web"], 2, 2)
    images.put(1, [{"names": ["web:latest"], "sizeBytes": 500 << 20}])
    everywhere = images.score(["web"], 2, 2)
    assert alone[1] == 0 < alone[0] < everywhere[0] == everywhere[1]
    images.put(0, ())
    assert images.score(["other"], 2, 2) is None


@pytest.mark.parametrize(("name", "full"), [("a", "a:latest"), ("h:5000/a", "h:5000/a:latest"), ("a:1", "a:1")])
def test_an_image_without_a_tag_is_the_latest(name, full):
    assert normalized(name) == full
