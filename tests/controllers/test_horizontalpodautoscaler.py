"""An autoscaler on virtual time: what it asks for, how soon it reacts, what it writes and how often."""

import asyncio

import orjson
import pytest

from autoscaler_builders import autoscaler, cpu, of_service
from tiphys.api import resources
from tiphys.api.objects import timestamp
from tiphys.controllers.horizontalpodautoscaler.controller import HorizontalPodAutoscalerController
from tiphys.wire.messages import Response

DEPLOYMENTS = resources.get("apps", "v1", "deployments")
V2 = "autoscaling/v2"
TEMPLATE = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "100m"}}}]},
}


class Load:
    """Answers for the metrics APIs: each pod of `pods` uses `milli`; a Service is hit `hits` times a second."""

    def __init__(self, plane):
        self.plane, self.pods, self.milli, self.hits, self.asked = plane, (), 50, 0, []
        self.handle, plane.server.handle = plane.server.handle, self.answer

    async def answer(self, request):
        if not request.target.startswith(("/apis/metrics.k8s.io", "/apis/custom.metrics.k8s.io")):
            return await self.handle(request)
        self.asked.append(request.target)
        moment = timestamp(self.plane.now())
        if "custom" in request.target:
            items = [{"describedObject": {"name": "web"}, "timestamp": moment, "value": str(self.hits)}]
        else:
            usage = [{"name": "c", "usage": {"cpu": f"{self.milli}m", "memory": "1Mi"}}]
            common = {"timestamp": moment, "window": "3s", "containers": usage}
            items = [{"metadata": {"name": name, "namespace": "shop"}, **common} for name in self.pods]
        return Response(200, body=orjson.dumps({"items": items}))


@pytest.fixture
async def load(plane):
    """A Deployment of two replicas with its pods, which have run for long; the autoscaler's controller runs."""
    made = Load(plane)
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE}
    deployment = await plane.create("apps/v1", "Deployment", "web", spec=spec)
    await plane.client.update(DEPLOYMENTS, {**deployment, "status": {"replicas": 2}}, subresource="status")
    for name in ("web-a", "web-b"):
        pod = await plane.create("v1", "Pod", name, labels={"app": "web"}, spec=TEMPLATE["spec"])
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": timestamp(plane.now())}
        status = {"phase": "Running", "startTime": timestamp(plane.now()), "conditions": [ready]}
        await plane.client.update(resources.get("", "v1", "pods"), {**pod, "status": status}, subresource="status")
    made.pods = ("web-a", "web-b")
    await asyncio.sleep(400)
    await plane.start(HorizontalPodAutoscalerController)
    return made


async def create(plane, *metrics, **spec):
    made = autoscaler(*metrics, **spec)
    return await plane.create(V2, "HorizontalPodAutoscaler", "web", spec=made["spec"])


async def replicas(plane):
    return (await plane.get("Deployment", "web", version="apps/v1"))["spec"]["replicas"]


async def test_reacts_to_load_within_seconds(plane, load):
    await create(plane, cpu(50))
    await asyncio.sleep(5)
    assert await replicas(plane) == 2
    load.milli = 100
    await asyncio.sleep(1.5)
    assert await replicas(plane) == 4
    assert "SuccessfulRescale" in await plane.reasons()
    status = (await plane.get("HorizontalPodAutoscaler", "web", version=V2))["status"]
    assert status["desiredReplicas"] == 4


async def test_asks_for_the_targets_pods_alone(plane, load):
    await create(plane, cpu(50))
    await asyncio.sleep(3)
    assert set(load.asked) == {"/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods?labelSelector=app%3Dweb"}
    assert 3 <= len(load.asked) <= 4


async def test_nothing_is_asked_without_an_autoscaler(plane, load):
    hpa = await create(plane, cpu(50))
    await asyncio.sleep(2)
    await plane.delete(hpa)
    await asyncio.sleep(2)
    load.asked.clear()
    await asyncio.sleep(60)
    assert load.asked == []


async def test_follows_a_services_own_metric(plane, load):
    load.hits = 30
    await create(plane, of_service("5", "AverageValue"))
    await asyncio.sleep(5)
    assert await replicas(plane) == 4
    await asyncio.sleep(15)
    assert await replicas(plane) == 6
    assert load.asked[0] == "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/services/web/hits"


async def test_other_values_are_written_four_times_a_minute(plane, load):
    await create(plane, cpu(50))
    await asyncio.sleep(5)
    before = (await plane.get("HorizontalPodAutoscaler", "web", version=V2))["metadata"]["resourceVersion"]
    writes = 0
    for second in range(60):
        load.milli = 48 + second % 4
        await asyncio.sleep(1)
        now = (await plane.get("HorizontalPodAutoscaler", "web", version=V2))["metadata"]["resourceVersion"]
        writes, before = writes + (now != before), now
    assert 3 <= writes <= 5


async def test_a_target_that_is_not_there_is_told(plane, load):
    await create(plane, cpu(50), scaleTargetRef={"apiVersion": "apps/v1", "kind": "Deployment", "name": "none"})
    await asyncio.sleep(1)
    status = (await plane.get("HorizontalPodAutoscaler", "web", version=V2))["status"]
    assert status["conditions"][0]["reason"] == "FailedGetScale"
    assert 'deployments.apps "none" not found' in status["conditions"][0]["message"]
