"""A DaemonSet has one pod on each node that it suits, and replaces them a few nodes at a time."""

import pytest

from builders import changed, daemonset, node, pod
from tiphys.api.objects import labels_of, name_of, parse_timestamp
from tiphys.controllers.daemonset.nodes import DAEMONSETS, PODS, node_of
from tiphys.controllers.daemonset.plan import BURST_MAX, Facts, plan
from tiphys.reconcile import history
from tiphys.reconcile.commands import Create, Delete, Requeue, Say, Update

NOW = parse_timestamp("2027-01-15T08:00:30Z")
NODES = tuple(map(node, ("n1", "n2", "n3")))


def revision(image="v1", number=1):
    return {**history.record(daemonset(image=image), [], history.POD_REVISION).revision, "revision": number}


OLD, NEW = revision("v1"), revision("v2", 2)


def daemon(on, of=OLD, name=None, **more):
    return pod(name or f"log-{on}", node=on, labels={"app": "web"} | hash_of(of), **more)


def hash_of(one):
    return {history.POD_REVISION: labels_of(one)[history.POD_REVISION]}


def commands(owner, *pods, nodes=NODES, waits=None):
    return plan(owner, Facts(nodes, pods, (OLD, NEW), waits or {}), NOW)


def made(owner, *pods, **more):
    found = [c.object for c in commands(owner, *pods, **more) if isinstance(c, Create) and c.resource == PODS]
    return [node_of(one) for one in found]


def lost(owner, *pods, **more):
    return [c.key[1] for c in commands(owner, *pods, **more) if isinstance(c, Delete) and c.resource == PODS]


def status(owner, *pods, **more):
    told = [c for c in commands(owner, *pods, **more) if isinstance(c, Update) and c.resource == DAEMONSETS]
    return told[0].object["status"]


def tainted(name, effect, key="gpu"):
    return node(name, taints=[{"key": key, "effect": effect}])


def one(**more):
    """A set of one node and of the newest revision, whose plans need no history."""
    return daemonset(image="v2", **more)


def test_settled_means_no_commands():
    settled = one(status=status(one(), daemon("n1", NEW), nodes=NODES[:1]))
    assert commands(settled, daemon("n1", NEW), nodes=NODES[:1]) == []


def test_each_node_gets_a_pod_and_the_first_of_them_the_revision():
    first = [c for c in plan(daemonset(), Facts(NODES, (), ()), NOW) if isinstance(c, Create)]
    assert [c.resource.kind for c in first] == ["ControllerRevision", "Pod", "Pod", "Pod"]
    assert made(one(), daemon("n2", NEW)) == ["n1", "n3"]


def test_a_pod_says_its_node_its_revision_and_what_it_stands():
    created = next(c.object for c in commands(one()) if isinstance(c, Create))
    assert node_of(created) == "n1" and "nodeName" not in created["spec"]
    assert labels_of(created) == {"app": "web", "pod-template-generation": "1"} | hash_of(NEW)
    assert {t["key"] for t in created["spec"]["tolerations"]} == {
        f"node.kubernetes.io/{what}"
        for what in ("not-ready", "unreachable", "disk-pressure", "memory-pressure", "pid-pressure", "unschedulable")
    }


def test_a_pod_keeps_what_it_prefers_and_its_node_replaces_what_it_requires():
    preferred = {"preferredDuringSchedulingIgnoredDuringExecution": []}
    terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "Exists"}]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    owner = one()
    owner["spec"]["template"]["spec"]["affinity"] = {"nodeAffinity": preferred | required}
    (created,) = [c.object for c in commands(owner, nodes=NODES[:1]) if isinstance(c, Create) and c.resource == PODS]
    affinity = created["spec"]["affinity"]["nodeAffinity"]
    (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert list(term) == ["matchFields"] and affinity.keys() == (preferred | required).keys()


@pytest.mark.parametrize(
    ("spec", "nodes"),
    [
        ({"nodeSelector": {"disk": "ssd"}}, ["n2"]),
        ({"nodeName": "n1"}, ["n1"]),
        ({"tolerations": [{"key": "gpu", "operator": "Exists"}]}, ["n1", "n2", "n3"]),
        ({}, ["n1", "n2"]),
    ],
)
def test_only_nodes_that_suit_get_one(spec, nodes):
    owner = one()
    owner["spec"]["template"]["spec"] |= spec
    there = (node("n1"), node("n2", labels={"disk": "ssd"}), tainted("n3", "NoSchedule"))
    assert made(owner, nodes=there) == nodes


def test_a_node_that_nobody_else_may_use_gets_its_daemon():
    assert made(one(), nodes=(tainted("n1", "NoSchedule", "node.kubernetes.io/unschedulable"),)) == ["n1"]


def test_a_pod_goes_from_a_node_that_it_does_not_stand_and_stays_where_it_could_not_begin():
    assert lost(one(), daemon("n1", NEW), nodes=(tainted("n1", "NoExecute"),)) == ["log-n1"]
    assert lost(one(), daemon("n1", NEW), nodes=(tainted("n1", "NoSchedule"),)) == []
    assert lost(one(), daemon("n1"), nodes=(tainted("n1", "NoSchedule"),)) == []


def test_a_pod_for_a_node_that_is_gone_goes():
    waiting = next(c.object for c in commands(one()) if isinstance(c, Create))
    waiting = waiting | {"metadata": waiting["metadata"] | {"name": "log-x", "uid": "x"}}
    assert lost(one(), waiting, nodes=()) == ["log-x"]


def test_a_second_pod_of_a_node_goes_and_the_older_stays():
    younger = daemon("n1", NEW, name="younger", created="2027-01-15T08:00:09Z")
    assert lost(one(), younger, daemon("n1", NEW)) == ["younger"]


def test_no_plan_starts_more_than_a_burst():
    assert len(made(one(), nodes=[node(f"n{number:04}") for number in range(1000)])) == BURST_MAX


# failures


def test_a_failed_pod_is_replaced_once_it_is_gone():
    failed = daemon("n1", NEW, ready=False, phase="Failed")
    (said,) = [c for c in commands(one(), failed) if isinstance(c, Say)]
    assert (said.type, said.reason) == ("Warning", "FailedDaemonPod")
    assert said.message == "Found failed daemon pod shop/log-n1 on node n1, will try to kill it"
    assert lost(one(), failed) == ["log-n1"] and "n1" not in made(one(), failed)


def test_a_pod_that_fails_again_waits():
    failed = daemon("n1", NEW, ready=False, phase="Failed")
    waiting = commands(one(), failed, nodes=NODES[:1], waits={"n1": NOW + 8})
    assert Requeue(8.0) in waiting and not [c for c in waiting if isinstance(c, Delete | Say)]


def test_a_pod_that_has_succeeded_is_replaced_at_once():
    ended = daemon("n1", NEW, ready=False, phase="Succeeded")
    assert lost(one(), ended, waits={"n1": NOW + 8}) == ["log-n1"]


# rollouts


def test_a_rollout_goes_node_by_node():
    assert lost(daemonset(image="v2"), *map(daemon, ("n1", "n2", "n3"))) == ["log-n1"]
    assert lost(daemonset(image="v2"), daemon("n1", NEW, ready=False), daemon("n2"), daemon("n3")) == []
    assert lost(daemonset(image="v2"), daemon("n1", deleting=True), daemon("n2"), daemon("n3")) == []
    assert lost(daemonset(image="v2"), daemon("n2"), daemon("n3")) == []
    assert lost(daemonset(image="v2", unavailable="50%"), *map(daemon, ("n1", "n2", "n3"))) == ["log-n1", "log-n2"]


def test_an_old_pod_that_serves_nobody_goes_first():
    assert lost(daemonset(image="v2"), daemon("n1"), daemon("n2", ready=False), daemon("n3")) == ["log-n2"]


def test_a_surge_puts_the_new_pod_beside_the_old_one_until_it_serves():
    owner = daemonset(image="v2", unavailable=0, surge=1)
    old = [daemon(name) for name in ("n1", "n2", "n3")]
    young = {"name": "new", "created": "2027-01-15T08:00:09Z"}
    assert (made(owner, *old), lost(owner, *old)) == (["n1"], [])
    starting = daemon("n1", NEW, ready=False, **young)
    assert (made(owner, starting, *old), lost(owner, starting, *old)) == ([], [])
    assert lost(owner, daemon("n1", NEW, **young), *old) == ["log-n1"]


def test_a_surge_replaces_a_broken_old_pod_at_once():
    owner = daemonset(image="v2", unavailable=0, surge=1)
    broken, fine = daemon("n1", ready=False), daemon("n2")
    assert made(owner, broken, fine, nodes=NODES[:2]) == ["n1", "n2"]
    assert lost(owner, broken, daemon("n1", NEW, name="new", ready=False), nodes=NODES[:1]) == ["log-n1"]


def test_on_delete_and_pause_replace_nobody():
    assert lost(daemonset(image="v2", updateStrategy={"type": "OnDelete"}), daemon("n1")) == []
    assert lost(daemonset(image="v2", annotations={"tiphys.io/paused": "true"}), daemon("n1")) == []


def test_a_pod_must_be_ready_for_a_while_before_the_next_one_goes():
    owner = daemonset(image="v2", minReadySeconds=40)
    pods = (daemon("n1", NEW), daemon("n2"), daemon("n3"))
    assert Requeue(10.0) in commands(owner, *pods)
    assert "log-n2" in lost(changed(owner, minReadySeconds=20), *pods)


# status


def test_the_status_counts_nodes():
    pods = (daemon("n1"), daemon("n2", NEW, ready=False), daemon("n4", NEW))
    told = status(daemonset(image="v2"), *pods, nodes=(*NODES, tainted("n4", "NoSchedule")))
    wanted = {"desiredNumberScheduled": 3, "currentNumberScheduled": 2, "numberMisscheduled": 1, "numberReady": 1}
    more = {"updatedNumberScheduled": 1, "numberAvailable": 1, "numberUnavailable": 2, "observedGeneration": 1}
    assert told == wanted | more


def test_revisions_that_no_pod_has_are_forgotten():
    owner = daemonset(image="v2", revisionHistoryLimit=0)
    gone = [c.key[1] for c in commands(owner, daemon("n1", NEW)) if isinstance(c, Delete)]
    assert gone == [name_of(OLD)]
    assert name_of(OLD) not in [c.key[1] for c in commands(owner, daemon("n1")) if isinstance(c, Delete)]


def test_a_set_that_is_deleted_makes_nothing():
    going = daemonset()
    going["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:00Z"
    assert made(going) == []
