"""Image volumes: brought like a container's own image, shown read-only, and trouble on just who mounts them."""

import os

import pytest

from host_builders import real_box
from node_builders import container, is_ready, new_pod, on_a_node, waits
from tiphys.node.volumes import mounts

MOUNT = {"name": "data", "mountPath": "/data"}


def pod_with(reference, *containers, **source):
    volume = {"name": "data", "image": {"reference": reference, **source}}
    return new_pod(containers=list(containers) or [container(volumeMounts=[MOUNT])], volumes=[volume])


def test_the_image_is_there_before_the_container_and_cannot_be_changed(tmp_path):
    async def scenario(box):
        box.runtime.add_image("files:1")
        pod = await box.create(pod_with("files:1", pullPolicy="IfNotPresent"))
        await box.ready()
        spec = box.runtime.spec(box.run_id(pod))
        given = next(mount for mount in spec.mounts if mount.destination == "/data")
        assert given.source in box.runtime.image_mounts
        assert (given.read_only, given.options) == (True, ("noexec", "nosuid", "nodev"))

    on_a_node(tmp_path, scenario)


def test_a_pull_that_fails_is_told_of_the_container_that_mounts_it_and_of_no_other(tmp_path):
    async def scenario(box):
        box.runtime.pull_errors["files:1"] = "registry is away"
        await box.create(pod_with("files:1", container(volumeMounts=[MOUNT]), container("other")))
        status = await box.until(waits("ErrImagePull"))
        status = await box.until(lambda status: "running" in status["containerStatuses"][1]["state"])
        assert status["containerStatuses"][0]["state"]["waiting"]["message"] == "registry is away"
        status = await box.until(waits("ImagePullBackOff"))
        box.runtime.pull_errors.clear()
        box.runtime.add_image("files:1")
        await box.until(is_ready)

    on_a_node(tmp_path, scenario)


def test_an_image_that_may_not_be_pulled_is_missed(tmp_path):
    async def scenario(box):
        await box.create(pod_with("files:1", pullPolicy="Never"))
        status = await box.until(waits("ErrImageNeverPull"))
        assert "files:1" in status["containerStatuses"][0]["state"]["waiting"]["message"]

    on_a_node(tmp_path, scenario)


@pytest.mark.host
async def test_real_containers_read_an_image_and_execute_nothing_of_it(host_lock, own_network, tmp_path):
    script = "cat /data/bin/true > /dev/null && ! /data/bin/true && ! echo > /data/x && ls /part | head -n 1"
    mounted = [MOUNT, {"name": "data", "mountPath": "/part", "subPath": "bin"}]
    main = container(command=["/bin/sh", "-c", f"{script} && exit 7"], volumeMounts=mounted)
    async with real_box(tmp_path) as box:
        pod = pod_with("app:1", main, pullPolicy="Never")
        created = await box.create({**pod, "spec": {**pod["spec"], "restartPolicy": "Never"}})
        status = await box.until(lambda status: status.get("phase") in ("Failed", "Succeeded"))
        assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 7
        await box.delete()
        await box.until(lambda status: status == {})
        place = box.agent.settings.pods_dir / created["metadata"]["uid"]
        assert mounts.below(place) == [] and not os.path.exists(place / "volumes")
