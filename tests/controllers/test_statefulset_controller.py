"""A StatefulSet's pods come, roll and go one after the other; its history and its claims follow."""

import pytest

from builders import template
from tiphys.api.objects import controller_of, labels_of
from tiphys.controllers.garbage.controller import GarbageController
from tiphys.controllers.statefulset.controller import StatefulSetController

SELECTOR = {"matchLabels": {"app": "web"}}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def placed(image="v1"):
    made = template(image)
    made["spec"]["nodeName"] = "n1"
    return made


@pytest.fixture
async def shop(plane):
    plane.kubelet()
    await plane.start(StatefulSetController, GarbageController)
    return plane


async def store(shop, replicas=3, **spec):
    wanted = {"replicas": replicas, "serviceName": "db", "selector": SELECTOR, "template": placed(), **spec}
    return await shop.create("apps/v1", "StatefulSet", "db", spec=wanted)


async def rolled_out(shop, replicas=3):
    async def complete():
        found = await shop.get("StatefulSet", "db", version="apps/v1")
        status = found.get("status", {})
        counts = [status.get(name, 0) for name in ("replicas", "readyReplicas", "updatedReplicas")]
        current = status.get("observedGeneration") == found["metadata"]["generation"]
        done = current and status["currentRevision"] == status["updateRevision"]
        return found if done and counts == [replicas] * 3 else None

    return await shop.until(complete)


async def test_pods_come_in_order_and_the_status_settles(shop):
    await store(shop)
    found = await rolled_out(shop)
    pods = await shop.list("Pod")
    born = [pod["metadata"]["name"] for pod in sorted(pods, key=lambda one: int(one["metadata"]["resourceVersion"]))]
    assert sorted(born) == ["db-0", "db-1", "db-2"]
    assert {controller_of(pod)["uid"] for pod in pods} == {found["metadata"]["uid"]}
    version = found["metadata"]["resourceVersion"]
    await shop.settled()
    assert (await shop.get("StatefulSet", "db", version="apps/v1"))["metadata"]["resourceVersion"] == version
    assert set(await shop.reasons()) == {"SuccessfulCreate"}


async def test_a_rollout_leaves_two_revisions_and_going_back_leaves_two(shop):
    made = await store(shop)
    await rolled_out(shop)
    for image, numbers in (("v2", [1, 2]), ("v1", [2, 3])):
        await shop.patch(made, {"spec": {"template": placed(image)}})
        await rolled_out(shop)
        assert {pod["spec"]["containers"][0]["image"] for pod in await shop.list("Pod")} == {image}
        assert sorted(one["revision"] for one in await shop.list("ControllerRevision", "apps/v1")) == numbers


async def test_a_pod_comes_back_under_its_name_when_the_old_one_has_gone(shop):
    await store(shop, 1)
    await rolled_out(shop, 1)
    (before,) = await shop.list("Pod")
    await shop.delete(before)
    await shop.settled()
    (after,) = await shop.list("Pod")
    assert after["metadata"]["name"] == "db-0" and after["metadata"]["uid"] != before["metadata"]["uid"]
    assert labels_of(after) == labels_of(before)


async def test_claims_stay_or_go_as_the_policy_says(shop):
    policy = {"whenScaled": "Delete", "whenDeleted": "Retain"}
    templates = [{"metadata": {"name": "data"}, "spec": CLAIM}]
    made = await store(shop, 2, volumeClaimTemplates=templates, persistentVolumeClaimRetentionPolicy=policy)
    await rolled_out(shop, 2)
    assert await shop.names("PersistentVolumeClaim") == ["data-db-0", "data-db-1"]
    await shop.patch(made, {"spec": {"replicas": 1}})
    await rolled_out(shop, 1)
    going = {
        c["metadata"]["name"]: c["metadata"].get("ownerReferences") for c in await shop.list("PersistentVolumeClaim")
    }
    assert going["data-db-0"] is None and "data-db-1" not in {n for n, o in going.items() if not o}


async def test_a_set_that_is_made_anew_takes_over_what_an_orphaning_deletion_left(shop):
    made = await store(shop, 2)
    await rolled_out(shop, 2)
    before = {pod["metadata"]["uid"] for pod in await shop.list("Pod")}
    await shop.delete(made, "Orphan")
    await shop.settled()
    assert [controller_of(pod) for pod in await shop.list("Pod")] == [None, None]
    await store(shop, 2)
    found = await rolled_out(shop, 2)
    pods = await shop.list("Pod")
    assert {pod["metadata"]["uid"] for pod in pods} == before
    assert {controller_of(pod)["uid"] for pod in pods} == {found["metadata"]["uid"]}
    assert len(await shop.names("ControllerRevision", "apps/v1")) == 1


async def test_a_pod_that_is_refused_keeps_nobody_from_being_told(shop):
    shop.no_new_pods = "exceeded quota"
    await store(shop)
    await shop.settled()
    found = await shop.get("StatefulSet", "db", version="apps/v1")
    assert found["status"]["observedGeneration"] == 1 and "FailedCreate" in await shop.reasons()


async def test_a_revision_name_that_is_taken_is_stepped_over(shop):
    await store(shop, 1)
    await rolled_out(shop, 1)
    (name,) = await shop.names("ControllerRevision", "apps/v1")
    await shop.delete(await shop.get("StatefulSet", "db", version="apps/v1"), "Background")
    await shop.settled()
    await shop.create("apps/v1", "ControllerRevision", name, data={}, revision=1)
    await store(shop, 1)
    assert (await rolled_out(shop, 1))["status"]["collisionCount"] == 1
    assert len(await shop.names("ControllerRevision", "apps/v1")) == 2
