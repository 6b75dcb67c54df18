"""Binding, eviction, scale, and what is passed on to a node."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apiserver.server import Extras
from tiphys.wire.messages import Handler, Request, Response

PODS = "/api/v1/namespaces/shop/pods"


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": "i"}], **spec},
    }


def binding(name: str, node: str = "n1") -> dict[str, Any]:
    return {"metadata": {"name": name}, "target": {"kind": "Node", "name": node}}


async def test_binding_places_the_pod(ask):
    await ask("POST", PODS, pod("a"))
    assert (await ask("POST", f"{PODS}/a/binding", binding("a"))).status == 201
    bound = (await ask("GET", f"{PODS}/a")).body
    assert bound["spec"]["nodeName"] == "n1"
    assert [c["status"] for c in bound["status"]["conditions"] if c["type"] == "PodScheduled"] == ["True"]


async def test_a_promised_node_is_forgotten_when_the_pod_has_one(ask):
    await ask("POST", PODS, pod("a"))
    promised = (await ask("GET", f"{PODS}/a")).body
    promised["status"]["nominatedNodeName"] = "n2"
    assert (await ask("PUT", f"{PODS}/a/status", promised)).body["status"]["nominatedNodeName"] == "n2"
    await ask("POST", f"{PODS}/a/binding", binding("a"))
    assert "nominatedNodeName" not in (await ask("GET", f"{PODS}/a")).body["status"]


@pytest.mark.parametrize(("more", "status"), [({}, 201), ({"uid": "other"}, 409), ({"uid": 7}, 400)])
async def test_a_binding_as_schedulers_write_it_is_checked_as_any_other(ask, more, status):
    await ask("POST", PODS, pod("a"))
    sent = binding("a") | {"apiVersion": "v1", "kind": "Binding"}
    sent["metadata"] |= more
    assert (await ask("POST", f"{PODS}/a/binding", sent)).status == status


async def test_a_pod_is_bound_once(ask):
    await ask("POST", PODS, pod("a"))
    await ask("POST", f"{PODS}/a/binding", binding("a"))
    again = await ask("POST", f"{PODS}/a/binding", binding("a", "n2"))
    assert again.status == 409 and 'already assigned to node "n1"' in again.message


async def test_a_gated_pod_is_not_bound(ask):
    await ask("POST", PODS, pod("a", schedulingGates=[{"name": "example.com/wait"}]))
    refused = await ask("POST", "/api/v1/namespaces/shop/bindings", binding("a"))
    assert refused.status == 409 and "non-empty .spec.schedulingGates" in refused.message


async def budgeted(ask, policy: str = "", *, ready: str = "True", **status: int) -> None:
    budgets = "/apis/policy/v1/namespaces/shop/poddisruptionbudgets"
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}}
    spec |= {"unhealthyPodEvictionPolicy": policy} if policy else {}
    await ask("POST", budgets, {"metadata": {"name": "guard"}, "spec": spec})
    await ask("POST", PODS, pod("a", nodeName="n1"))
    running = {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}
    await ask.patch("merge", f"{PODS}/a/status", {"status": running})
    if status:
        await ask.patch("merge", f"{budgets}/guard/status", {"status": {"observedGeneration": 1, **status}})


async def test_an_eviction_waits_for_the_budgets_controller(ask):
    await budgeted(ask)
    refused = await ask("POST", f"{PODS}/a/eviction", {"metadata": {"name": "a"}})
    assert refused.status == 429 and refused.headers["retry-after"] == "10"


async def test_an_evicted_pod_tells_why_it_goes(ask):
    await budgeted(ask, disruptionsAllowed=1)
    version = (await ask("GET", f"{PODS}/a")).body["metadata"]["resourceVersion"]
    options = {"preconditions": {"resourceVersion": version}}
    await ask("POST", f"{PODS}/a/eviction", {"metadata": {"name": "a"}, "deleteOptions": options})
    gone = (await ask("GET", f"{PODS}/a")).body
    reasons = {each["type"]: each.get("reason") for each in gone["status"]["conditions"]}
    assert reasons["DisruptionTarget"] == "EvictionByEvictionAPI" and gone["metadata"]["deletionTimestamp"]


async def test_an_eviction_uses_up_the_budget(ask):
    await budgeted(ask, disruptionsAllowed=1, currentHealthy=2, desiredHealthy=1, expectedPods=2)
    assert (await ask("POST", f"{PODS}/a/eviction", {"metadata": {"name": "a"}})).status == 201
    status = (await ask("GET", "/apis/policy/v1/namespaces/shop/poddisruptionbudgets/guard")).body["status"]
    assert status["disruptionsAllowed"] == 0 and list(status["disruptedPods"]) == ["a"]


@pytest.mark.parametrize(
    ("policy", "healthy", "answer"),
    [("", 1, 201), ("", 0, 429), ("IfHealthyBudget", 0, 429), ("AlwaysAllow", 0, 201)],
)
async def test_a_pod_that_is_not_ready_goes_where_nobody_misses_it(ask, policy, healthy, answer):
    await budgeted(ask, policy, ready="False", disruptionsAllowed=0, currentHealthy=healthy, desiredHealthy=1)
    told = await ask("POST", f"{PODS}/a/eviction", {"metadata": {"name": "a"}})
    assert told.status == answer
    status = (await ask("GET", "/apis/policy/v1/namespaces/shop/poddisruptionbudgets/guard")).body["status"]
    assert "disruptedPods" not in status


async def test_a_pod_on_a_node_is_given_its_grace_and_a_shorter_one_later(ask):
    await ask("POST", PODS, pod("a", nodeName="n1", terminationGracePeriodSeconds=45))
    seconds = []
    for query in ("", "?gracePeriodSeconds=60", "?gracePeriodSeconds=5"):
        seconds.append((await ask("DELETE", f"{PODS}/a{query}")).body["metadata"]["deletionGracePeriodSeconds"])
    assert seconds == [45, 45, 5]
    await ask("DELETE", f"{PODS}/a?gracePeriodSeconds=0")
    assert (await ask("GET", f"{PODS}/a")).status == 404


async def test_scale_reads_and_writes_replicas(ask):
    deployments = "/apis/apps/v1/namespaces/shop/deployments"
    template = {"metadata": {"labels": {"app": "a"}}, "spec": pod("a")["spec"]}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "a"}}, "template": template}
    await ask("POST", deployments, {"metadata": {"name": "web"}, "spec": spec})
    assert (await ask("GET", f"{deployments}/web/scale")).body["status"] == {"replicas": 0, "selector": "app=a"}
    await ask("PUT", f"{deployments}/web/scale", {"metadata": {"name": "web"}, "spec": {"replicas": 5}})
    assert (await ask("GET", f"{deployments}/web")).body["spec"]["replicas"] == 5


async def test_the_log_of_an_unplaced_pod_is_empty(ask):
    await ask("POST", PODS, pod("a"))
    assert (await ask("GET", f"{PODS}/a/log")).status == 204


async def test_exec_needs_a_node(ask):
    await ask("POST", PODS, pod("a"))
    refused = await ask("POST", f"{PODS}/a/exec?command=ls")
    assert (refused.status, refused.message) == (400, "pod a does not have a host assigned")


class Nodes:
    """Remembers what it was asked to pass on."""

    def __init__(self) -> None:
        self.asked: list[Request] = []

    def node(self, node: dict[str, Any]) -> Handler:
        async def handler(request: Request) -> Response:
            self.asked.append(request)
            return Response(200, (), b"from " + node["metadata"]["name"].encode())

        return handler

    def address(self, host: str, port: int, *, tls: bool) -> Handler:
        return self.node({"metadata": {"name": f"{host}:{port}"}})


async def test_logs_come_from_the_pods_node(serve):
    nodes = Nodes()
    ask = await serve(lambda cache: Extras(reach=nodes))
    await ask("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}})
    await ask("POST", PODS, pod("a", nodeName="n1"))
    answer = await ask("GET", f"{PODS}/a/log?follow=true", authorization="Bearer secret")
    assert answer.body == b"from n1"
    assert nodes.asked[0].target == "/containerLogs/shop/a/c?follow=true"
    assert "authorization" not in nodes.asked[0].headers


async def test_a_pod_proxy_reaches_the_declared_port(serve):
    nodes = Nodes()
    ask = await serve(lambda cache: Extras(reach=nodes))
    await ask("POST", PODS, pod("a", nodeName="n1"))
    await ask.patch("merge", f"{PODS}/a/status", {"status": {"podIP": "10.1.2.3", "podIPs": [{"ip": "10.1.2.3"}]}})
    answer = await ask("GET", f"{PODS}/a:8080/proxy/x/y?z=1")
    assert answer.body == b"from 10.1.2.3:8080" and nodes.asked[0].target == "/x/y?z=1"
