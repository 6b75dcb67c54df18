"""What the arrays decide of random small clusters is what a naive reading of the rules does, pod by pod."""

import random

import numpy as np
import pytest

from builders import node, pod
from naive_scheduler import Naive
from scheduler_builders import Cluster
from tiphys.scheduler.affinity import likings
from tiphys.scheduler.decide import reasons_at

ZONE = "topology.kubernetes.io/zone"
KEYS = ("kubernetes.io/hostname", ZONE, "rack")
SPACES = {"shop": {"team": "a"}, "bank": {"team": "b"}}
TAINT = {"key": "k", "effect": "NoSchedule"}


def some_node(rng, number):
    labels = {key: rng.choice("xyz") for key in (ZONE, "rack") if rng.random() < 0.85}
    return node(f"n{number}", labels=labels, taints=[TAINT] if rng.random() < 0.2 else ())


def selector(rng):
    by_value = {"matchLabels": {"app": rng.choice("abc")}}
    by_key = {"matchExpressions": [{"key": "tier", "operator": rng.choice(["Exists", "DoesNotExist"])}]}
    return rng.choice([by_value, by_value, by_key, {}])


def term(rng):
    found = {"topologyKey": rng.choice(KEYS), "labelSelector": selector(rng)}
    if rng.random() < 0.2:
        found["namespaces"] = [rng.choice(list(SPACES))]
    if rng.random() < 0.2:
        found["namespaceSelector"] = rng.choice([{}, {"matchLabels": {"team": "b"}}])
    return found


def affinity(rng):
    def side():
        weighed = [{"weight": rng.randint(1, 100), "podAffinityTerm": term(rng)}] if rng.random() < 0.5 else []
        return {
            "requiredDuringSchedulingIgnoredDuringExecution": [term(rng) for _ in range(rng.choice([0, 0, 1, 2]))],
            "preferredDuringSchedulingIgnoredDuringExecution": weighed,
        }

    return {kind: side() for kind in ("podAffinity", "podAntiAffinity") if rng.random() < 0.6}


def constraint(rng):
    found = {"topologyKey": rng.choice(KEYS), "maxSkew": rng.randint(1, 2), "labelSelector": selector(rng)}
    found["whenUnsatisfiable"] = rng.choice(["DoNotSchedule", "ScheduleAnyway"])
    if found["whenUnsatisfiable"] == "DoNotSchedule" and rng.random() < 0.3:
        found["minDomains"] = rng.randint(1, 5)
    found["nodeAffinityPolicy"] = rng.choice(["Honor", "Ignore"])
    found["nodeTaintsPolicy"] = rng.choice(["Honor", "Ignore"])
    return found


def some_pod(rng, name, **fields):
    labels = {"app": rng.choice("abc"), **({"tier": "x"} if rng.random() < 0.4 else {})}
    found = pod(name, labels=labels, deleting=rng.random() < 0.1, **fields)
    found["metadata"]["namespace"] = rng.choice(list(SPACES))
    if rng.random() < 0.5:
        found["spec"]["affinity"] = affinity(rng)
    if rng.random() < 0.6:
        found["spec"]["topologySpreadConstraints"] = [constraint(rng) for _ in range(rng.randint(1, 3))]
    if rng.random() < 0.3:
        found["spec"]["nodeSelector"] = {"rack": rng.choice("xy")}
    return found


def setting(rng):
    nodes = [some_node(rng, number) for number in range(rng.randint(1, 7))]
    names = [each["metadata"]["name"] for each in nodes]
    placed = [(some_pod(rng, f"p{number}"), rng.choice(names)) for number in range(rng.randint(0, 14))]
    cluster = Cluster(*nodes)
    for name, labels in SPACES.items():
        cluster.world.namespaces.put(name, labels)
    gone = some_pod(rng, "gone")
    cluster.put(gone, names[0])
    cluster.state.asks(some_pod(rng, "asked-early", node=""))
    for each, where in placed:
        cluster.put(each, where)
    cluster.state.ledger.remove("uid-gone")
    return cluster, Naive(nodes, placed, SPACES)


RELATED = ("spread", "affinity")


def related(reasons):
    return [reason for reason in reasons if any(word in reason for word in RELATED) and "selector" not in reason]


@pytest.mark.parametrize("seed", range(60))
def test_nodes_are_refused_for_the_same_reasons(seed):
    rng = random.Random(seed)
    cluster, naive = setting(rng)
    for number in range(6):
        incoming = some_pod(rng, f"new{number}", node="")
        asks = cluster.state.asks(incoming)
        for name, each in naive.nodes.items():
            found = reasons_at(cluster.state, asks, cluster.state.table.row_of[name])
            if not found or related(found):
                assert related(found) == [r for r in [naive.reason(incoming, each)] if r]


def some_of(rng, cluster, naive):
    """Names of nodes, and the mask of their rows."""
    names = rng.sample(list(naive.nodes), rng.randint(1, len(naive.nodes)))
    feasible = np.zeros(cluster.state.table.rows, dtype=bool)
    feasible[[cluster.state.table.row_of[name] for name in names]] = True
    return names, feasible


@pytest.mark.parametrize("seed", range(40))
def test_nodes_are_liked_as_much(seed):
    rng = random.Random(seed)
    cluster, naive = setting(rng)
    incoming = some_pod(rng, "new", node="")
    relation, world, table = cluster.state.asks(incoming).relation, cluster.world, cluster.state.table
    raw = relation and likings(world.topology, relation._terms, relation._held, world.groups.tally, table.rows)
    for name, each in naive.nodes.items():
        assert (0 if raw is None else raw[table.row_of[name]]) == naive.liked(incoming, each)


@pytest.mark.parametrize("seed", range(60))
def test_nodes_get_the_same_points_for_spreading(seed):
    rng = random.Random(seed)
    cluster, naive = setting(rng)
    selector = {"app": rng.choice("abc")}
    for space in SPACES:
        meta = {"name": "svc", "namespace": space}
        cluster.world.siblings.put({"kind": "Service", "metadata": meta, "spec": {"selector": selector}})
    incoming = some_pod(rng, "new", node="")
    relation = cluster.state.asks(incoming).relation
    names, feasible = some_of(rng, cluster, naive)
    if relation is not None and relation._spread.prefers:
        points = relation._spread.scores(relation._siblings, feasible)
        told = {name: points[cluster.state.table.row_of[name]] for name in names}
        assert told == pytest.approx(naive.spread_scores(incoming, names, {"matchLabels": selector}))
