"""The whole loop, against an API that binds as told."""

import asyncio
from contextlib import asynccontextmanager

from builders import node, pod
from tiny_api import TinyApi
from tiphys.aio import virtual
from tiphys.api.errors import failure
from tiphys.client.client import Client
from tiphys.client.events import Recorder
from tiphys.client.informer import Informers
from tiphys.scheduler.follower import NODES
from tiphys.scheduler.reports import PODS
from tiphys.scheduler.scheduler import Scheduler


class BindingApi(TinyApi):
    """`refusals` bindings fail before one succeeds."""

    refusals = 0

    def _create(self, where, body):
        if where.subresource != "binding":
            return super()._create(where, body)
        if self.refusals:
            self.refusals -= 1
            raise failure(500, "InternalError", "not now")
        key = (where.collection, where.namespace, where.name)
        held = self.objects[key]
        return self._store("MODIFIED", key, {**held, "spec": {**held["spec"], "nodeName": body["target"]["name"]}})


@asynccontextmanager
async def scheduling(api):
    client = Client(api)
    informers, recorder = Informers(client), Recorder(client, "default-scheduler")
    parts = [informers.run(), recorder.run(), Scheduler(client, informers, recorder).run()]
    tasks = [asyncio.ensure_future(each) for each in reversed(parts)]
    await asyncio.sleep(1)
    yield client
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def waiting(name="web", **fields):
    return pod(name, node="", phase="Pending", ready=False, **fields)


def told(*, api=None, before=(), pods=(), after=()):
    """Nodes `before`, then pods, then nodes `after`, a while apart; gives each pod's node and the events' reasons."""
    api = api or BindingApi()

    async def story():
        async with scheduling(api) as client:
            for group, resource, namespace in ((before, NODES, ""), (pods, PODS, "shop"), (after, NODES, "")):
                for each in group:
                    await client.create(resource, each, namespace)
                await asyncio.sleep(20)
            bound = {o["metadata"]["name"]: o["spec"].get("nodeName", "") for o in (await client.list(PODS)).items}
            return bound, [o["reason"] for key, o in api.objects.items() if key[0].endswith("/events")], api

    return virtual.run(story())


def test_a_pod_is_bound_and_its_event_says_so():
    bound, reasons, _ = told(before=[node("a")], pods=[waiting()])
    assert (bound, reasons) == ({"web": "a"}, ["Scheduled"])


def test_a_pod_that_fits_nowhere_says_why_and_is_bound_when_a_node_comes():
    bound, reasons, api = told(before=[node("a", unschedulable=True)], pods=[waiting()], after=[node("b")])
    conditions = api.objects[("api/v1/pods", "shop", "web")]["status"]["conditions"]
    assert bound == {"web": "b"} and reasons[0] == "FailedScheduling"
    assert "1 node(s) were unschedulable" in next(c["message"] for c in conditions if c["type"] == "PodScheduled")


def test_a_binding_that_failed_is_tried_again():
    api = BindingApi()
    api.refusals = 2
    assert told(api=api, before=[node("a")], pods=[waiting()])[0] == {"web": "a"}


def test_a_failed_binding_gives_its_room_back():
    api = BindingApi()
    api.refusals = 1
    assert told(api=api, before=[node("a", pods="1")], pods=[waiting()])[0] == {"web": "a"}


def test_gated_and_foreign_pods_are_left_alone():
    pods = [waiting("gated", schedulingGates=[{"name": "g"}]), waiting("foreign", schedulerName="other")]
    assert told(before=[node("a")], pods=pods)[0] == {"gated": "", "foreign": ""}


def test_many_pods_share_the_nodes():
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "100m"}}}
    pods = [waiting(f"p{number}", containers=[container]) for number in range(10)]
    bound, _, _ = told(before=[node("a"), node("b")], pods=pods)
    assert sorted(bound.values()) == ["a"] * 5 + ["b"] * 5
