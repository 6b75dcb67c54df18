"""How many pods a budget lets go, and what wakes its controller."""

import asyncio

import pytest

from builders import EPOCH, deployment, pod, replicaset
from tiny_api import TinyApi
from tiphys.aio import virtual
from tiphys.api import resources
from tiphys.api.objects import condition_of, parse_timestamp, timestamp
from tiphys.client.client import Client
from tiphys.client.events import Recorder
from tiphys.client.informer import Informers
from tiphys.controllers.disruption.controller import DisruptionController
from tiphys.controllers.disruption.plan import BUDGETS, PODS, Scales, plan
from tiphys.reconcile.commands import Requeue, Say, Update
from tiphys.reconcile.tools import Tools

NOW = parse_timestamp(EPOCH)
DEPLOYMENTS, REPLICASETS = (resources.get("apps", "v1", name) for name in ("deployments", "replicasets"))


def budget(status=None, **spec):
    meta = {"name": "b", "namespace": "shop", "uid": "uid-b", "generation": 2}
    return {"metadata": meta, "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec}, "status": status or {}}


def three(ready=3):
    return [pod(f"web-{n}", ready=n < ready) for n in range(3)]


def numbers(obj, pods, wanted=0, now=NOW):
    (update,) = (each for each in plan(obj, pods, Scales(wanted), now) if isinstance(each, Update))
    status = update.object["status"]
    return tuple(
        status[name] for name in ("expectedPods", "desiredHealthy", "currentHealthy", "disruptionsAllowed")
    )  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "ready", "shown"),
    [
        ({"minAvailable": 2}, 3, (3, 2, 3, 1)),
        ({"minAvailable": 2}, 2, (3, 2, 2, 0)),
        ({"minAvailable": 2}, 1, (3, 2, 1, 0)),
        ({"minAvailable": "50%"}, 3, (5, 3, 3, 0)),
        ({"maxUnavailable": 3}, 3, (5, 2, 3, 1)),
        ({"maxUnavailable": "10%"}, 3, (5, 4, 3, 0)),
        ({"maxUnavailable": 9}, 3, (5, 0, 3, 3)),
    ],
)
def test_numbers_and_shares_are_rounded_to_the_safe_side(spec, ready, shown):
    assert numbers(budget(**spec), three(ready), 5) == shown


def test_nothing_is_allowed_while_there_are_no_pods():
    commands = plan(budget(maxUnavailable=1), [], Scales(), NOW)
    assert numbers(budget(maxUnavailable=1), []) == (0, 0, 0, 0)
    assert [each.reason for each in commands if isinstance(each, Say)] == ["NoPods"]


def test_the_condition_tells_whether_a_disruption_is_allowed():
    (update,) = plan(budget(minAvailable=2), three(), Scales(), NOW)
    assert update.object["status"]["observedGeneration"] == 2
    assert update.object["status"]["conditions"] == [{
        "type": "DisruptionAllowed", "status": "True", "observedGeneration": 2, "lastTransitionTime": EPOCH,
        "reason": "SufficientPods", "message": "",
    }]  # fmt: skip


def test_settled_means_no_commands():
    (update,) = plan(budget(minAvailable=2), three(), Scales(), NOW)
    assert plan(update.object, three(), Scales(), NOW + 60) == []


def test_an_evicted_pod_is_missed_until_two_minutes_are_over():
    noted = {"disruptedPods": {"web-0": EPOCH, "gone": EPOCH}}
    commands = plan(budget(noted, minAvailable=2), three(), Scales(), NOW + 20)
    assert commands[0].object["status"]["disruptedPods"] == {"web-0": EPOCH}
    assert commands[0].object["status"]["disruptionsAllowed"] == 0
    assert commands[1:] == [Requeue(101.0)]


def test_an_evicted_pod_that_stays_counts_again():
    commands = plan(budget({"disruptedPods": {"web-0": EPOCH}}, minAvailable=2), three(), Scales(), NOW + 121)
    assert commands[0].reason == "NotDeleted"
    assert "disruptedPods" not in commands[1].object["status"]


def test_pods_on_their_way_out_are_not_healthy():
    assert numbers(budget(minAvailable=1), [*three(), pod("x", deleting=True)]) == (4, 1, 3, 2)


def test_a_disruption_that_was_announced_and_never_came_is_taken_back():
    spared = three()
    target = {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": EPOCH}
    spared[0]["status"]["conditions"].append(target)
    assert plan(budget(minAvailable=2), spared, Scales(), NOW)[-1] == Requeue(121.0)
    commands = plan(budget(minAvailable=2), spared, Scales(), NOW + 121)
    assert condition_of(commands[0].object, "DisruptionTarget")["status"] == "False"
    assert condition_of(commands[0].object, "Ready")["status"] == "True"


def test_an_unknown_scale_allows_nothing():
    held = {"currentHealthy": 3, "desiredHealthy": 2, "disruptionsAllowed": 1, "expectedPods": 3}
    error = "jobs.batch does not implement the scale subresource"
    said, update = plan(budget(held, maxUnavailable=1), three(), Scales(error=error), NOW)
    assert said.message == f"Failed to calculate the number of expected pods: {error}"
    assert update.object["status"]["disruptionsAllowed"] == 0
    assert condition_of(update.object, "DisruptionAllowed")["reason"] == "SyncFailed"
    assert plan(update.object, three(), Scales(error=error), NOW) == []


def test_unmanaged_pods_are_told_where_they_matter():
    (said, _) = plan(budget(maxUnavailable=1), three(), Scales(0, ("web-0",)), NOW)
    assert said.reason == "UnmanagedPods"


class Shop:
    """A namespace with a Deployment, its ReplicaSet and three pods, on virtual time."""

    async def fill(self):
        api = Client(TinyApi())
        self.api, informers = api, Informers(api)
        web = await api.create(DEPLOYMENTS, deployment(3))
        owner = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": web["metadata"]}
        held = await api.create(REPLICASETS, replicaset(3, name="web-1", owner=owner))
        for n in range(3):
            await api.create(PODS, pod(f"web-{n}", owner={**held, "apiVersion": "apps/v1", "kind": "ReplicaSet"}))
        now = asyncio.get_running_loop().now
        return informers.run, DisruptionController(Tools(api, informers, Recorder(api, "c"), now)).run

    async def status(self):
        await asyncio.sleep(1)
        return (await self.api.get(BUDGETS, "b", "shop"))["status"]


def in_a_shop(story, obj):
    async def main():
        shop = Shop()
        tasks = [asyncio.create_task(run()) for run in await shop.fill()]
        try:
            await shop.api.create(BUDGETS, obj)
            await story(shop)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    virtual.run(main())


def test_a_deployment_speaks_for_its_pods_once():
    async def story(shop):
        assert (await shop.status())["expectedPods"] == 3
        await shop.api.patch(DEPLOYMENTS, ("shop", "web"), {"spec": {"replicas": 5}})
        assert (await shop.status())["desiredHealthy"] == 4

    in_a_shop(story, budget(maxUnavailable=1))


def test_a_pod_that_gets_unready_takes_its_disruption_away():
    async def story(shop):
        assert (await shop.status())["disruptionsAllowed"] == 1
        unready = [{"type": "Ready", "status": "False", "lastTransitionTime": EPOCH}]
        await shop.api.patch(PODS, ("shop", "web-0"), {"status": {"conditions": unready}}, subresource="status")
        assert (await shop.status())["disruptionsAllowed"] == 0

    in_a_shop(story, budget(minAvailable=2))


def test_an_eviction_that_came_to_nothing_is_forgotten_in_time():
    async def story(shop):
        await shop.status()
        at = timestamp(asyncio.get_running_loop().now())
        await shop.api.patch(BUDGETS, ("shop", "b"), {"status": {"disruptedPods": {"web-0": at}}}, subresource="status")
        assert (await shop.status())["currentHealthy"] == 2
        await asyncio.sleep(125)
        assert (await shop.status())["currentHealthy"] == 3

    in_a_shop(story, budget(minAvailable=2))


@pytest.mark.parametrize(
    ("reference", "error"),
    [
        (("batch/v1", "Job"), "jobs.batch does not implement the scale subresource"),
        (("apps/v1", "ReplicaSet"), 'found no controllers for pod "x"'),
    ],
)
def test_owners_without_a_scale_are_told(reference, error):
    async def story(shop):
        owner = dict(zip(("apiVersion", "kind"), reference, strict=True)) | {"metadata": {"name": "j", "uid": "u"}}
        await shop.api.create(PODS, pod("x", owner=owner))
        conditions = (await shop.status())["conditions"]
        assert (conditions[0]["reason"], conditions[0]["message"]) == ("SyncFailed", error)

    in_a_shop(story, budget(maxUnavailable=1))


@pytest.mark.parametrize(
    ("version", "kind"), [("apps/v1", "StatefulSet"), ("v1", "ReplicationController"), ("apps/v1", "ReplicaSet")]
)
def test_every_owner_with_a_scale_speaks_for_its_pods(version, kind):
    async def story(shop):
        owner = {"apiVersion": version, "kind": kind, "metadata": {"name": "db", "namespace": "shop", "uid": "u"}}
        await shop.api.create(resources.of_kind(version, kind), {**owner, "spec": {"replicas": 4}})
        await shop.api.create(PODS, pod("db-0", owner=owner, labels={"app": "db"}))
        assert (await shop.status())["desiredHealthy"] == 2

    in_a_shop(story, budget(minAvailable="50%", selector={"matchLabels": {"app": "db"}}))
