"""Who has to go for a more important pod, and who may stay."""

import pytest

from builders import node, pod
from scheduler_builders import Cluster
from tiphys.scheduler import preemption
from tiphys.scheduler.decide import choose
from tiphys.scheduler.preemption import Candidate, preempt, split_by_budgets


def asking(name, cpu="2", priority=0, **fields):
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}
    return pod(name, node="", containers=[container], priority=priority, **fields)


def budget(allowed, **labels):
    meta = {"name": "pdb", "namespace": "shop"}
    return {"metadata": meta, "spec": {"selector": {"matchLabels": labels}}, "status": {"disruptionsAllowed": allowed}}


def answer(cluster, incoming, budgets=()):
    asks = cluster.state.asks(incoming)
    return preempt(cluster.state, asks, choose(cluster.state, asks, 0.0), budgets, 0.0)


def full(*pods, nodes=1):
    """Nodes of 4 CPUs that hold these pods, one after the other."""
    cluster = Cluster(*(node(f"n{number}") for number in range(nodes)))
    for number, each in enumerate(pods):
        cluster.put(each, f"n{number % nodes}")
    return cluster


def names(candidate):
    return [placed.pod["metadata"]["name"] for placed in candidate.victims]


def test_only_as_many_go_as_have_to():
    cluster = full(asking("a"), asking("b", priority=1))
    assert names(answer(cluster, asking("vip", priority=9))) == ["a"]


def test_what_was_tried_leaves_no_trace():
    cluster = full(asking("a"), asking("b"))
    before = cluster.state.table.used.copy()
    assert isinstance(answer(cluster, asking("vip", priority=9)), Candidate)
    assert (cluster.state.table.used == before).all() and len(cluster.state.ledger.on("n0")) == 2


def test_equals_are_left_alone():
    told = answer(full(asking("a", priority=9), asking("b", priority=9)), asking("vip", priority=9))
    assert told == "0/1 nodes are available: 1 No preemption victims found for incoming pod."


def test_it_is_not_done_where_it_does_not_help():
    told = answer(full(asking("a")), asking("vip", cpu="5", priority=9))
    assert told == "0/1 nodes are available: 1 Preemption is not helpful for scheduling."


def test_what_would_still_be_missing_is_told():
    told = answer(full(asking("a", priority=9), asking("b")), asking("vip", cpu="3", priority=9))
    assert told == "0/1 nodes are available: 1 Insufficient cpu."


def test_a_pod_that_never_preempts_says_so():
    cluster = full(asking("a"), asking("b"))
    assert answer(cluster, asking("vip", priority=9, preemptionPolicy="Never")) == preemption.NEVER


def test_the_least_important_go():
    cluster = full(asking("a", cpu="3", priority=5), asking("b", cpu="3", priority=2), nodes=2)
    assert answer(cluster, asking("vip", priority=9)).node == "n1"


def test_a_protected_pod_stays_if_another_node_does():
    cluster = full(asking("a", cpu="3"), asking("b", cpu="3", labels={"app": "free"}), nodes=2)
    found = answer(cluster, asking("vip", priority=9), [budget(0, app="web")])
    assert (found.node, found.violations) == ("n1", 0)


def test_a_budget_does_not_protect_from_what_cannot_be_avoided():
    found = answer(full(asking("a", cpu="3")), asking("vip", priority=9), [budget(0, app="web")])
    assert (found.node, found.violations) == ("n0", 1)


def test_a_budget_is_spent_pod_by_pod():
    cluster = full(asking("a"), asking("b"))
    violating, others = split_by_budgets(cluster.state.ledger.on("n0"), [budget(1, app="web")])
    assert (len(violating), len(others)) == (1, 1)


def test_who_came_last_goes_first():
    early, late = asking("early"), asking("late")
    early["status"]["startTime"], late["status"]["startTime"] = "2027-01-01T00:00:00Z", "2027-01-02T00:00:00Z"
    assert names(answer(full(late, early), asking("vip", priority=9))) == ["late"]


def test_a_pod_is_not_preempted_for_twice():
    cluster = full(asking("a"), asking("b"))
    vip = asking("vip", priority=9)
    found = answer(cluster, vip)
    cluster.state.nominations.put(cluster.state.ledger.placed(vip, found.node))
    cluster.state.nominations.victims.update(placed.uid for placed in found.victims)
    assert answer(cluster, vip) == preemption.UNDER_WAY


@pytest.mark.parametrize(("priority", "node_name"), [(0, "n1"), (9, "n1"), (10, "n0")])
def test_a_promised_place_is_kept_from_those_who_are_not_more_important(priority, node_name):
    cluster = Cluster(node("n0"), node("n1", cpu="3", labels={"spare": "yes"}))
    cluster.state.nominations.put(cluster.state.ledger.placed(asking("vip", cpu="3", priority=9), "n0"))
    assert cluster.choice(asking("other", priority=priority)) == node_name


def test_pods_that_keep_others_away_go_too():
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}}
    lonely = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    cluster = full(asking("bystander", cpu="1", labels={"app": "db"}), asking("lonely", cpu="1", affinity=lonely))
    assert names(answer(cluster, asking("vip", cpu="1", priority=9))) == ["lonely"]


def test_who_holds_a_claim_for_one_pod_goes_for_it():
    claim = {
        "metadata": {"name": "data", "namespace": "shop", "annotations": {"pv.kubernetes.io/bind-completed": "yes"}}
    }
    claim["spec"] = {"volumeName": "pv", "accessModes": ["ReadWriteOncePod"]}
    using = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    cluster = full(asking("holder", cpu="1", volumes=using), asking("other", cpu="1"))
    cluster.state.volumes.claims[("shop", "data")] = claim
    cluster.state.volumes.put_volume({"metadata": {"name": "pv"}, "spec": {}})
    assert names(answer(cluster, asking("vip", cpu="1", priority=9, volumes=using))) == ["holder"]
