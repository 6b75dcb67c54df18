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
from tiphys.scheduler.follower import CLASSES, NODES
from tiphys.scheduler.reports import PODS
from tiphys.scheduler.scheduler import BUDGETS, Scheduler
from tiphys.scheduler.volume_binding import CLAIMS, VOLUMES


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


# stories of several kinds


def story_of(*objects, then=None, api=None):
    """Create objects in a running scheduler's API, do what `then(client, api)` does, and give the API."""
    api = api or BindingApi()

    async def story():
        async with scheduling(api) as client:
            for resource, obj in objects:
                await client.create(resource, obj, obj["metadata"].get("namespace", ""))
                await asyncio.sleep(2)
            if then is not None:
                await then(client, api)
            await asyncio.sleep(60)

    virtual.run(story())
    return api


def asking(name, cpu="3", **fields):
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}
    return waiting(name, containers=[container], **fields)


def pod_in(api, name):
    return api.objects.get(("api/v1/pods", "shop", name))


def events_of(api, name):
    found = (o for key, o in api.objects.items() if key[0] == "api/v1/events")
    return [o["reason"] for o in found if o["involvedObject"]["name"] == name]


def test_a_victim_is_told_why_and_ends_with_its_grace_period():
    api = story_of((NODES, node("a")), (PODS, asking("low")), (PODS, asking("vip", priority=9)))
    victim, vip = pod_in(api, "low"), pod_in(api, "vip")
    (told,) = [c for c in victim["status"]["conditions"] if c["type"] == "DisruptionTarget"]
    assert told["reason"] == "PreemptionByScheduler" and victim["metadata"]["deletionGracePeriodSeconds"] == 30
    assert vip["status"]["nominatedNodeName"] == "a" and not vip["spec"].get("nodeName")
    assert events_of(api, "low") == ["Scheduled", "Preempted"] and events_of(api, "vip") == ["FailedScheduling"]


async def low_ends(client, api):
    await asyncio.sleep(30)
    await client.delete(PODS, ("shop", "low"), grace_seconds=0)


def test_the_promised_place_is_taken_when_the_victim_is_gone():
    before = [(NODES, node("a")), (PODS, asking("low")), (PODS, asking("vip", priority=9)), (PODS, asking("late"))]
    api = story_of(*before, then=low_ends)
    assert pod_in(api, "vip")["spec"]["nodeName"] == "a" and pod_in(api, "low") is None
    assert "nodeName" not in pod_in(api, "late")["spec"]
    deletions = [path for method, path in api.requests if method == "DELETE"]
    assert len(deletions) == 2  # by the scheduler once, and by the test


def test_a_refused_pod_is_told_what_preemption_would_do():
    api = story_of((NODES, node("a")), (PODS, asking("big", cpu="5")))
    (told,) = [c["message"] for c in pod_in(api, "big")["status"]["conditions"] if c["type"] == "PodScheduled"]
    assert told == (
        "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: "
        "0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )


def test_the_important_pod_goes_first():
    pods = [asking("low"), asking("vip", priority=9)]
    bound, _, _ = told(pods=pods, after=[node("a")])
    assert bound == {"low": "", "vip": "a"}


def test_a_gate_that_is_lifted_lets_the_pod_in():
    async def lift(client, api):
        assert "nodeName" not in pod_in(api, "gated")["spec"]
        await client.patch(PODS, ("shop", "gated"), {"spec": {"schedulingGates": None}})

    api = story_of((NODES, node("a")), (PODS, waiting("gated", schedulingGates=[{"name": "g"}])), then=lift)
    assert pod_in(api, "gated")["spec"]["nodeName"] == "a"


# claims

CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "late"},
    "provisioner": "csi.example",
    "volumeBindingMode": "WaitForFirstConsumer",
}
CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "data", "namespace": "shop"},
    "spec": {"storageClassName": "late", "accessModes": ["ReadWriteOnce"]},
}
USING = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
STORAGE = [(CLASSES, CLASS), (CLAIMS, CLAIM), (NODES, node("a"))]


def claim_in(api):
    return api.objects[("api/v1/persistentvolumeclaims", "shop", "data")]


async def made(client, api):
    await asyncio.sleep(5)
    assert "nodeName" not in pod_in(api, "web")["spec"]
    said = {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}
    await client.patch(CLAIMS, ("shop", "data"), {"metadata": said, "spec": {"volumeName": "pv"}})


def test_a_claim_is_told_its_node_and_the_pod_is_bound_when_the_claim_is():
    api = story_of(*STORAGE, (PODS, waiting(volumes=USING)), then=made)
    assert claim_in(api)["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] == "a"
    assert pod_in(api, "web")["spec"]["nodeName"] == "a"


def test_a_claim_that_cannot_be_made_on_the_node_is_tried_again():
    async def not_here(client, api):
        await client.patch(CLAIMS, ("shop", "data"), {"metadata": {"annotations": None}})
        await asyncio.sleep(10)
        assert claim_in(api)["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] == "a"
        await made(client, api)

    api = story_of(*STORAGE, (PODS, waiting(volumes=USING)), then=not_here)
    assert pod_in(api, "web")["spec"]["nodeName"] == "a" and "FailedScheduling" in events_of(api, "web")


def test_a_volume_that_fits_is_given_to_the_claim():
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "pv"},
        "spec": {"storageClassName": "late", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}},
        "status": {"phase": "Available"},
    }
    api = story_of((VOLUMES, volume), *STORAGE, (PODS, waiting(volumes=USING)), then=made)
    held = api.objects[("api/v1/persistentvolumes", "", "pv")]
    assert held["spec"]["claimRef"]["name"] == "data" and pod_in(api, "web")["spec"]["nodeName"] == "a"
    assert held["metadata"]["annotations"] == {"pv.kubernetes.io/bound-by-controller": "yes"}


def test_a_pod_whose_claim_is_missing_waits_for_it():
    api = story_of((NODES, node("a")), (PODS, waiting(volumes=USING)), *STORAGE[:2], then=made)
    (first, *_) = events_of(api, "web")
    assert first == "FailedScheduling" and pod_in(api, "web")["spec"]["nodeName"] == "a"


def test_a_promise_gives_way_to_a_more_important_pod():
    mid, vip = asking("mid", priority=5), asking("vip", priority=9)
    api = story_of((NODES, node("a")), (PODS, asking("low")), (PODS, mid), (PODS, vip), then=low_ends)
    assert pod_in(api, "vip")["spec"]["nodeName"] == "a" and "nodeName" not in pod_in(api, "mid")["spec"]
    assert "nominatedNodeName" not in pod_in(api, "mid")["status"]


class StubbornApi(BindingApi):
    """The first deletion fails."""

    failures = 1

    def _delete(self, where, body):
        if self.failures:
            self.failures -= 1
            raise failure(500, "InternalError", "not now")
        return super()._delete(where, body)


def test_a_victim_that_could_not_be_deleted_is_tried_again():
    api = story_of((NODES, node("a")), (PODS, asking("low")), (PODS, asking("vip", priority=9)), api=StubbornApi())
    assert pod_in(api, "low")["metadata"].get("deletionTimestamp")


def test_a_budget_is_read_from_the_api():
    budget = {"metadata": {"name": "pdb", "namespace": "shop"}, "spec": {"selector": {"matchLabels": {"app": "web"}}}}
    free = asking("free", labels={"app": "free"})
    before = [(BUDGETS, {**budget, "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "status": {}})]
    before += [(NODES, node("a")), (PODS, asking("guarded")), (NODES, node("b")), (PODS, free)]
    api = story_of(*before, (PODS, asking("vip", priority=9)))
    assert not pod_in(api, "guarded")["metadata"].get("deletionTimestamp")
    assert pod_in(api, "free")["metadata"].get("deletionTimestamp")
