"""A DaemonSet follows the nodes, rolls from one template to the next, and does not make failing pods in a hurry."""

import pytest

from builders import template
from tiphys.controllers.daemonset.backoff import MAX_SECONDS, Backoffs
from tiphys.controllers.daemonset.controller import DaemonSetController
from tiphys.controllers.daemonset.nodes import node_of

SELECTOR = {"matchLabels": {"app": "web"}}
KEY = ("shop", "log")


@pytest.fixture
async def shop(plane):
    """Two nodes; a scheduler that sends each pod to the node that it names."""
    plane.kubelet()
    await plane.start(DaemonSetController)
    for name in ("n1", "n2"):
        await plane.node(name)
    return plane


async def place(shop):
    for pod in await shop.list("Pod"):
        if "nodeName" not in pod["spec"] and "deletionTimestamp" not in pod["metadata"]:
            target = {"kind": "Node", "name": node_of(pod)}
            binding = {"metadata": {"name": pod["metadata"]["name"], "namespace": "shop"}, "target": target}
            path = f"/api/v1/namespaces/shop/pods/{pod['metadata']['name']}/binding"
            await shop.client.request("POST", path, {"apiVersion": "v1", "kind": "Binding", **binding})


async def log(shop, **spec):
    wanted = {"selector": SELECTOR, "template": template(), **spec}
    return await shop.create("apps/v1", "DaemonSet", "log", spec=wanted)


async def rolled_out(shop, nodes=2):
    async def complete():
        await place(shop)
        found = await shop.get("DaemonSet", "log", version="apps/v1")
        status = found["status"]
        counts = [
            status.get(name, 0) for name in ("desiredNumberScheduled", "numberAvailable", "updatedNumberScheduled")
        ]
        current = status.get("observedGeneration") == found["metadata"]["generation"]
        return found if current and counts == [nodes] * 3 else None

    return await shop.until(complete)


async def test_pods_follow_nodes(shop):
    await log(shop)
    await rolled_out(shop)
    third = await shop.node("n3")
    await rolled_out(shop, 3)
    await shop.patch(third, {"spec": {"taints": [{"key": "x", "effect": "NoExecute"}]}})
    await rolled_out(shop, 2)
    await shop.settled()
    assert sorted(node_of(pod) for pod in await shop.list("Pod")) == ["n1", "n2"]
    assert set(await shop.reasons()) == {"SuccessfulCreate", "SuccessfulDelete"}


async def test_a_settled_set_is_left_alone(shop):
    await log(shop)
    version = (await rolled_out(shop))["metadata"]["resourceVersion"]
    await shop.settled()
    assert (await shop.get("DaemonSet", "log", version="apps/v1"))["metadata"]["resourceVersion"] == version


@pytest.mark.parametrize("rolling", [{"maxUnavailable": 1}, {"maxUnavailable": 0, "maxSurge": 1}])
async def test_a_rollout_and_back_leaves_two_revisions(shop, rolling):
    made = await log(shop, updateStrategy={"type": "RollingUpdate", "rollingUpdate": rolling})
    await rolled_out(shop)
    for image in ("v2", "v1"):
        await shop.patch(made, {"spec": {"template": template(image)}})
        await rolled_out(shop)
        await shop.settled()
        assert [pod["spec"]["containers"][0]["image"] for pod in await shop.list("Pod")] == [image] * 2
    assert sorted(one["revision"] for one in await shop.list("ControllerRevision", "apps/v1")) == [2, 3]


async def test_a_failing_daemon_is_made_less_and_less_often(shop):
    await log(
        shop, template=template() | {"spec": template()["spec"] | {"nodeSelector": {"kubernetes.io/hostname": "n1"}}}
    )
    await shop.patch(await shop.get("Node", "n1"), {"metadata": {"labels": {"kubernetes.io/hostname": "n1"}}})
    await rolled_out(shop, 1)
    began, seen = shop.now(), set()

    async def failed_five_times():
        await place(shop)
        for pod in await shop.list("Pod"):
            if pod["status"].get("phase") == "Running":
                seen.add(pod["metadata"]["uid"])
                await shop.patch(pod, {"status": {"phase": "Failed"}}, "status")
        return len(seen) >= 5

    await shop.until(failed_five_times)
    assert 1 + 2 + 4 <= shop.now() - began < 12


def test_waits_double_and_are_forgotten():
    backoffs = Backoffs()
    for expected in (1.0, 2.0, 4.0):
        backoffs.replaced(KEY, ["n1"], 0.0)
        assert backoffs.of(KEY) == {"n1": expected}
    backoffs.replaced(KEY, [], 5.0 + MAX_SECONDS)
    assert backoffs.of(KEY) == {}
