"""A Deployment makes a ReplicaSet, which makes pods; what is taken away comes back, what is changed rolls over."""

import pytest

from builders import template
from tiphys.api.objects import condition_of, controller_of
from tiphys.controllers.deployment.controller import DeploymentController
from tiphys.controllers.replicaset.controller import ReplicaSetController

SELECTOR = {"matchLabels": {"app": "web"}}


def placed(image="v1"):
    made = template(image)
    made["spec"]["nodeName"] = "n1"
    return made


@pytest.fixture
async def shop(plane):
    """Both controllers, and a node that runs what they make."""
    plane.kubelet()
    await plane.start(DeploymentController, ReplicaSetController)
    return plane


async def deploy(shop, replicas=2, **spec):
    wanted = {"replicas": replicas, "selector": SELECTOR, "template": placed(), **spec}
    return await shop.create("apps/v1", "Deployment", "web", spec=wanted)


async def rolled_out(shop, name="web"):
    """The Deployment once all of its pods are new and available."""

    async def complete():
        deployment = await shop.get("Deployment", name, version="apps/v1")
        status, wanted = deployment.get("status", {}), deployment["spec"]["replicas"]
        counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
        current = status.get("observedGeneration") == deployment["metadata"]["generation"]
        return deployment if current and counts == [wanted] * 3 else None

    return await shop.until(complete)


async def images(shop):
    return [pod["spec"]["containers"][0]["image"] for pod in await shop.list("Pod")]


async def test_a_deployment_makes_a_replicaset_that_makes_pods(shop):
    await deploy(shop)
    deployment = await rolled_out(shop)
    (replicaset,) = await shop.list("ReplicaSet", "apps/v1")
    assert controller_of(replicaset)["uid"] == deployment["metadata"]["uid"]
    owners = [controller_of(pod)["uid"] for pod in await shop.list("Pod")]
    assert owners == [replicaset["metadata"]["uid"]] * 2
    assert condition_of(deployment, "Available")["status"] == "True"
    assert condition_of(deployment, "Progressing")["reason"] == "NewReplicaSetAvailable"


async def test_the_story_is_told_in_events(shop):
    await deploy(shop)
    await rolled_out(shop)
    assert sorted(set(await shop.reasons())) == ["ScalingReplicaSet", "SuccessfulCreate"]


async def test_a_deleted_pod_is_made_anew(shop):
    await deploy(shop)
    await rolled_out(shop)
    first = await shop.names("Pod")
    await shop.delete((await shop.list("Pod"))[0])
    await shop.settled()
    assert len(await shop.names("Pod")) == 2 and await shop.names("Pod") != first


async def test_scaling_down_deletes_and_up_creates(shop):
    deployment = await deploy(shop)
    for replicas in (5, 1, 0):
        await shop.patch(deployment, {"spec": {"replicas": replicas}})
        await rolled_out(shop)
        assert len(await shop.names("Pod")) == replicas


async def test_another_template_rolls_over_and_the_old_replicaset_stays_empty(shop):
    deployment = await deploy(shop, 3)
    await rolled_out(shop)
    await shop.patch(deployment, {"spec": {"template": placed("v2")}})
    await rolled_out(shop)
    sizes = {
        rs["spec"]["template"]["spec"]["containers"][0]["image"]: rs for rs in await shop.list("ReplicaSet", "apps/v1")
    }
    assert [sizes[image]["spec"]["replicas"] for image in ("v1", "v2")] == [0, 3]
    assert await images(shop) == ["v2"] * 3
    assert sizes["v2"]["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"


async def test_recreate_has_never_two_versions_at_once(shop):
    deployment = await deploy(shop, strategy={"type": "Recreate"})
    await rolled_out(shop)
    await shop.patch(deployment, {"spec": {"template": placed("v2")}})

    async def only_new():
        assert len(set(await images(shop))) <= 1
        return await images(shop) == ["v2"] * 2

    await shop.until(only_new)


async def test_a_rollout_that_does_not_get_on_says_so_when_its_time_is_over(shop):
    wanted = template()  # bound to no node: the pods never run
    await deploy(shop, template=wanted, progressDeadlineSeconds=100)

    async def stuck():
        deployment = await shop.get("Deployment", "web", version="apps/v1")
        return (condition_of(deployment, "Progressing") or {}).get("reason") == "ProgressDeadlineExceeded"

    began = shop.now()
    await shop.until(stuck, 200)
    assert 100 <= shop.now() - began < 110


async def test_a_replicaset_adopts_a_pod_that_matches_and_lets_go_of_one_that_does_not(shop):
    orphan = await shop.create("v1", "Pod", "orphan", labels={"app": "web"}, spec=placed()["spec"])
    await shop.create("apps/v1", "ReplicaSet", "web", spec={"replicas": 1, "selector": SELECTOR, "template": placed()})
    await shop.settled()
    assert await shop.names("Pod") == ["orphan"]
    assert controller_of(await shop.get("Pod", "orphan"))["name"] == "web"
    await shop.patch(orphan, {"metadata": {"labels": {"app": "other"}}})
    await shop.settled()
    assert controller_of(await shop.get("Pod", "orphan")) is None and len(await shop.names("Pod")) == 2


async def test_a_deployment_adopts_a_replicaset_of_its_template(shop):
    labels = {"app": "web"}
    spec = {"replicas": 2, "selector": SELECTOR, "template": placed()}
    await shop.create("apps/v1", "ReplicaSet", "mine", labels=labels, spec=spec)
    await deploy(shop)
    await rolled_out(shop)
    assert await shop.names("ReplicaSet", "apps/v1") == ["mine"]


async def test_a_name_that_is_taken_by_somebody_elses_replicaset_is_stepped_over(shop):
    await deploy(shop)
    await rolled_out(shop)
    deployment = await shop.get("Deployment", "web", version="apps/v1")
    await shop.delete(deployment, "Orphan")
    await shop.patch(deployment, {"metadata": {"finalizers": None}})
    stranger = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x", "controller": True}
    (replicaset,) = await shop.list("ReplicaSet", "apps/v1")
    await shop.patch(replicaset, {"metadata": {"ownerReferences": [{"$patch": "replace"}, stranger]}})
    await deploy(shop)
    deployment = await rolled_out(shop)
    assert deployment["status"]["collisionCount"] == 1
    assert len(await shop.names("ReplicaSet", "apps/v1")) == 2


async def test_why_no_pod_can_be_made_is_in_the_replicasets_status(shop):
    shop.no_new_pods = "exceeded quota"
    wanted = {"replicas": 1, "selector": SELECTOR, "template": placed()}
    replicaset = await shop.create("apps/v1", "ReplicaSet", "web", spec=wanted)

    async def failing():
        return condition_of(await shop.get("ReplicaSet", "web", version="apps/v1"), "ReplicaFailure")

    told = await shop.until(failing)
    assert (told["status"], told["reason"], told["message"]) == ("True", "FailedCreate", "exceeded quota")
    assert "FailedCreate" in await shop.reasons()
    shop.no_new_pods = ""
    await shop.patch(replicaset, {"metadata": {"annotations": {"touched": "yes"}}})
    await shop.settled()
    assert len(await shop.names("Pod")) == 1 and await failing() is None
