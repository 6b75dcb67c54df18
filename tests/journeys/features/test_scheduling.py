"""One node that cannot take everybody: who goes, who waits, and what wakes them, with real containers."""

import pytest

from cluster_builders import eventually
from pod_cluster import of_kind, pod

pytestmark = pytest.mark.host

PORT = {"ports": [{"containerPort": 80, "hostPort": 18181}]}
HOST = "kubernetes.io/hostname"
LINGERING = "trap 'sleep 1; exit' TERM; sleep 999 & wait"
APART = {"topologyKey": HOST, "labelSelector": {"matchLabels": {"app": "apart"}}}
LONELY = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [APART]}}
EVEN = {**APART, "maxSkew": 1, "minDomains": 2, "whenUnsatisfiable": "DoNotSchedule"}


def apart(name):
    return pod(name, labels={"app": "apart"}, affinity=LONELY)


MANIFESTS = [
    of_kind("PriorityClass", "important", "scheduling.k8s.io/v1", value=1000),
    pod("low", LINGERING, main=PORT, terminationGracePeriodSeconds=20),
    apart("apart-1"),
]


def test_a_pod_makes_room_for_a_more_important_one(live):
    live.ready("low")
    live.apply(pod("vip", main=PORT, priorityClassName="important"))
    assert live.event("low", "Preempted").endswith("on node here")
    assert live.condition("low", "DisruptionTarget")["reason"] == "PreemptionByScheduler"
    assert live.event("vip", "FailedScheduling").startswith("0/1 nodes are available: 1 node(s) didn't have free ports")
    live.ready("vip")
    eventually(lambda: live.found("pods", "low") is None, "the end of the pod that had to go", 20)
    assert "nominatedNodeName" not in live.pod("vip")["status"]


def test_a_pod_that_is_kept_away_comes_when_the_other_goes(live):
    live.ready("apart-1")
    live.apply(apart("apart-2"))
    said = live.event("apart-2", "FailedScheduling")
    assert said.startswith("0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules.")
    live.kubectl("delete", "pod", "apart-1", "--wait=false")
    live.ready("apart-2")


def test_too_few_nodes_to_spread_over_are_told(live):
    spread = [pod(f"even-{number}", labels={"app": "apart"}, topologySpreadConstraints=[EVEN]) for number in range(2)]
    live.apply(*spread)
    said = live.event("even-1", "FailedScheduling")
    assert "1 node(s) didn't match pod topology spread constraints" in said
