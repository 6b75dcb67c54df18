"""A node that goes silent is tainted, its pods leave when their patience ends, and what is lost is collected."""

import asyncio
import datetime

import pytest

from tiphys.api.objects import condition_of
from tiphys.controllers.nodelifecycle.controller import NodeLifecycleController
from tiphys.controllers.podgc import controller as podgc
from tiphys.controllers.podgc.controller import PodGcController
from tiphys.controllers.podgc.plan import plan_finished
from tiphys.controllers.tainteviction.controller import TaintEvictionController

UNREACHABLE, NOT_READY = "node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready"
CONTAINERS = [{"name": "c", "image": "i"}]


def patient(seconds=None):
    limit = {} if seconds is None else {"tolerationSeconds": seconds}
    keys = (UNREACHABLE, NOT_READY)
    return [{"key": key, "operator": "Exists", "effect": "NoExecute", **limit} for key in keys]


async def place(plane, name, tolerations=(), node="n1"):
    spec = {"nodeName": node, "containers": CONTAINERS, "tolerations": list(tolerations)}
    pod = await plane.create("v1", "Pod", name, spec=spec)
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    return await plane.patch(pod, {"status": ready}, "status")


def micro(seconds):
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Heart:
    """The lease of a node, renewed every ten seconds while `beats`."""

    def __init__(self, plane, name="n1"):
        self.plane, self.name = plane, name
        self.beats = True

    async def run(self):
        spec = {"holderIdentity": self.name, "renewTime": micro(self.plane.now())}
        lease = await self.plane.create(
            "coordination.k8s.io/v1", "Lease", self.name, namespace="kube-node-lease", spec=spec
        )
        while True:
            await asyncio.sleep(10)
            if self.beats:
                await self.plane.patch(lease, {"spec": {"renewTime": micro(self.plane.now())}})


@pytest.fixture
async def shop(plane):
    """A node with a heart, and the controllers of its life and death."""
    await plane.start(NodeLifecycleController, TaintEvictionController)
    await plane.node()
    plane.heart = Heart(plane)
    plane.run(plane.heart.run())
    return plane


async def taints(plane):
    node = await plane.get("Node", "n1")
    return sorted((taint["key"], taint["effect"]) for taint in node["spec"].get("taints") or ())


async def ready(plane, kind="Node", name="n1"):
    return condition_of(await plane.get(kind, name), "Ready")["status"]


async def test_a_node_whose_lease_is_renewed_is_left_alone(shop):
    await place(shop, "a", patient(0))
    await asyncio.sleep(3600)
    assert (await ready(shop), await taints(shop), await shop.names("Pod")) == ("True", [], ["a"])


async def test_a_silent_node_is_marked_after_forty_seconds(shop):
    await place(shop, "a", patient())
    await asyncio.sleep(15)
    shop.heart.beats = False
    await asyncio.sleep(30)
    assert await ready(shop) == "True"
    await asyncio.sleep(15)
    assert await ready(shop) == "Unknown"
    assert await taints(shop) == [(UNREACHABLE, "NoExecute"), (UNREACHABLE, "NoSchedule")]
    assert await ready(shop, "Pod", "a") == "False"
    assert "NodeNotReady" in await shop.reasons()


async def test_pods_of_a_silent_node_leave_when_their_patience_ends(shop):
    for name, tolerations in (("impatient", ()), ("patient", patient(300)), ("forever", patient())):
        await place(shop, name, tolerations)
    shop.heart.beats = False

    async def leaving():
        return [pod["metadata"]["name"] for pod in await shop.list("Pod") if "deletionTimestamp" in pod["metadata"]]

    await asyncio.sleep(60)
    assert await leaving() == ["impatient"]
    await asyncio.sleep(250)
    assert await leaving() == ["impatient"]
    await asyncio.sleep(50)
    assert sorted(await leaving()) == ["impatient", "patient"]
    pod = await shop.get("Pod", "patient")
    assert condition_of(pod, "DisruptionTarget")["reason"] == "DeletionByTaintManager"


async def test_a_node_that_speaks_again_keeps_its_pods(shop):
    await place(shop, "a", patient(300))
    shop.heart.beats = False
    await asyncio.sleep(100)
    assert await taints(shop) != []
    shop.heart.beats = True
    node = await shop.get("Node", "n1")
    await shop.patch(node, {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, "status")
    await asyncio.sleep(600)
    assert await taints(shop) == []
    assert "deletionTimestamp" not in (await shop.get("Pod", "a"))["metadata"]


async def test_a_node_that_says_it_is_not_ready_is_tainted_at_once(shop):
    node = await shop.get("Node", "n1")
    await shop.patch(node, {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}, "status")
    await shop.settled()
    assert await taints(shop) == [(NOT_READY, "NoExecute"), (NOT_READY, "NoSchedule")]


async def test_a_cordoned_node_takes_no_pods_but_keeps_its_own(shop):
    await place(shop, "a")
    await shop.patch(await shop.get("Node", "n1"), {"spec": {"unschedulable": True}})
    await shop.settled()
    assert await taints(shop) == [("node.kubernetes.io/unschedulable", "NoSchedule")]
    assert await shop.names("Pod") == ["a"]


async def test_a_pod_that_comes_to_a_tainted_node_leaves_too(shop):
    taint = {"key": "example.com/broken", "effect": "NoExecute"}
    await shop.patch(await shop.get("Node", "n1"), {"spec": {"taints": [taint]}})
    await shop.settled()
    await place(shop, "late")
    await shop.settled()
    assert "deletionTimestamp" in (await shop.get("Pod", "late"))["metadata"]
    assert "TaintManagerEviction" in await shop.reasons()


async def test_pods_of_a_node_that_was_deleted_are_collected_after_a_while(plane):
    await plane.start(PodGcController)
    node = await plane.node()
    await place(plane, "a")
    await plane.delete(node)
    await asyncio.sleep(30)
    assert await plane.names("Pod") == ["a"]
    await asyncio.sleep(15)
    assert await plane.names("Pod") == []


async def test_a_node_that_comes_back_in_time_keeps_its_pods(plane):
    await plane.start(PodGcController)
    node = await plane.node()
    await place(plane, "a")
    await plane.delete(node)
    await asyncio.sleep(30)
    await plane.node()
    await asyncio.sleep(600)
    assert await plane.names("Pod") == ["a"]


async def test_the_oldest_of_too_many_finished_pods_go(plane, monkeypatch):
    monkeypatch.setattr(podgc, "FINISHED_MAX", 2)
    monkeypatch.setattr(podgc, "plan_finished", lambda pods: plan_finished(pods, 2))
    await plane.start(PodGcController)
    await plane.node()
    for name in ("a", "b", "c", "d"):
        pod = await place(plane, name)
        await plane.patch(pod, {"status": {"phase": "Succeeded"}}, "status")
        await asyncio.sleep(2)
    assert await plane.names("Pod") == ["c", "d"]
