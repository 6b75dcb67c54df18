"""Pods near those they want and far from those they avoid."""

import pytest

from builders import node, pod
from scheduler_builders import Cluster
from tiphys.scheduler import affinity
from tiphys.scheduler.topology import HOSTNAME, ZONE

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def term(key=HOSTNAME, app="db", **more):
    return {"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}, **more}


def near(*terms):
    return {"podAffinity": {REQUIRED: list(terms)}}


def far(*terms):
    return {"podAntiAffinity": {REQUIRED: list(terms)}}


def likes(kind, weight=100, **fields):
    return {kind: {PREFERRED: [{"weight": weight, "podAffinityTerm": term(**fields)}]}}


def db(name="db", **fields):
    return pod(name, node="", labels={"app": "db"}, **fields)


def web(name="web", **fields):
    return pod(name, node="", **fields)


def two_zones():
    return Cluster(*(node(name, labels={ZONE: name[0]}) for name in ("a1", "a2", "b1")))


def test_a_pod_goes_where_the_one_it_wants_is():
    cluster = two_zones()
    cluster.put(db(), "b1")
    assert cluster.choice(web(affinity=near(term()))) == "b1"


def test_without_the_one_it_wants_it_goes_nowhere():
    assert two_zones().choice(web(affinity=near(term()))).kinds == {affinity.NOT_NEAR}


def test_the_first_of_a_group_that_wants_itself_is_let_in():
    cluster = two_zones()
    placed = [cluster.place(db(f"db-{n}", affinity=near(term(ZONE))), tie) for n, tie in enumerate((0.9, 0.0))]
    assert placed == ["b1", "b1"]


def test_one_pod_has_to_meet_all_terms():
    cluster = two_zones()
    cluster.put(db(), "a1")
    cluster.put(web("other"), "a1")
    wanting = near(term(), term(app="web"))
    assert cluster.choice(pod("p", node="", labels={"app": "p"}, affinity=wanting)).kinds == {affinity.NOT_NEAR}


def test_a_pod_stays_out_of_the_zone_of_those_it_avoids():
    cluster = two_zones()
    cluster.put(db(), "a1")
    assert cluster.choice(web(affinity=far(term(ZONE)))) == "b1"
    cluster.put(db("db-2"), "b1")
    assert cluster.choice(web(affinity=far(term(ZONE)))).kinds == {affinity.TOO_NEAR}


def test_a_placed_pod_keeps_those_away_that_it_avoids():
    cluster = two_zones()
    cluster.put(db(affinity=far(term(ZONE, app="web"))), "a1")
    assert cluster.choice(web()) == "b1"
    cluster.state.ledger.remove("uid-db")
    assert cluster.choice(web()) == "a1"


def test_a_pod_that_knows_nobody_learns_of_one_that_came_later():
    cluster = Cluster(node("a"))
    assert cluster.choice(web()) == "a"
    cluster.put(db(affinity=far(term(app="web"))), "a")
    assert cluster.choice(web()).kinds == {affinity.KEPT_AWAY}


@pytest.mark.parametrize(("kind", "chosen"), [("podAffinity", "b1"), ("podAntiAffinity", "a1")])
def test_preferences_draw_and_drive(kind, chosen):
    cluster = two_zones()
    cluster.put(db(), "b1")
    assert cluster.choice(web(affinity=likes(kind))) == chosen


@pytest.mark.parametrize(("kind", "chosen"), [("podAffinity", "b1"), ("podAntiAffinity", "a1")])
def test_placed_pods_draw_and_drive_too(kind, chosen):
    cluster = two_zones()
    cluster.put(db(affinity=likes(kind, app="web")), "b1")
    assert cluster.choice(web()) == chosen


def test_a_required_affinity_of_a_placed_pod_draws_those_it_wants():
    cluster = two_zones()
    cluster.put(db(affinity=near(term(app="web"))), "b1")
    assert cluster.choice(web()) == "b1"


@pytest.mark.parametrize(
    ("more", "fits"),
    [({}, False), ({"namespaces": ["bank"]}, True), ({"namespaceSelector": {}}, True)],
)
def test_terms_mean_their_own_namespace_unless_they_say_another(more, fits):
    cluster = Cluster(node("a"))
    other = db()
    other["metadata"]["namespace"] = "bank"
    cluster.put(other, "a")
    assert (cluster.choice(web(affinity=near(term(**more)))) == "a") is fits


def test_a_namespace_that_is_relabelled_is_seen():
    cluster = Cluster(node("a"))
    other = db()
    other["metadata"]["namespace"] = "bank"
    cluster.put(other, "a")
    wanting = web(affinity=near(term(namespaceSelector={"matchLabels": {"team": "x"}})))
    assert cluster.choice(wanting).kinds == {affinity.NOT_NEAR}
    cluster.world.namespaces.put("bank", {"team": "x"})
    assert cluster.choice(wanting) == "a"
