"""Pods with volumes of a driver that is a program of its own and mounts: on the real runtime."""

import asyncio
import json
import subprocess
import sys
from contextlib import contextmanager

import pytest

import csi_builders
from host_builders import real_box
from node_builders import container, new_pod, phase
from storage_builders import claim, volume
from tiphys.api import resources
from tiphys.node.volumes import mounts

pytestmark = pytest.mark.host

NAME = "disk.example.com"
SCRIPT = "cat /v/told.json > /dev/termination-log; echo kept > /v/kept"


@contextmanager
def driver(box, state):
    command = [sys.executable, csi_builders.__file__, str(box.agent.settings.data_dir), NAME, str(state)]
    with subprocess.Popen(command) as program:
        try:
            yield program
        finally:
            program.kill()


async def declare(box, **spec):
    kind = {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": NAME}, "spec": spec}
    await box.client.create(resources.get("storage.k8s.io", "v1", "csidrivers"), kind)


def pod_with(source, **fields):
    mounted = [{"name": "v", "mountPath": "/v"}]
    main = container(command=["/bin/sh", "-c", SCRIPT], volumeMounts=mounted)
    return new_pod(containers=[main], volumes=[{"name": "v", **source}], restartPolicy="Never", **fields)


def said(status):
    return json.loads(status["containerStatuses"][0]["state"]["terminated"]["message"])


async def test_an_inline_volume_is_there_for_the_pod_and_gone_with_it(host_lock, own_network, tmp_path):
    async with real_box(tmp_path) as box:
        await declare(box, volumeLifecycleModes=["Ephemeral"], podInfoOnMount=True)
        source = {"csi": {"driver": NAME, "volumeAttributes": {"a": "b"}}}
        created = await box.create(pod_with(source, securityContext={"fsGroup": 77}))
        with driver(box, tmp_path / "state"):
            status = await box.until(phase("Succeeded"))
            context = said(status)["volume_context"]
            assert (context["a"], context["csi.storage.k8s.io/pod.uid"]) == ("b", created["metadata"]["uid"])
            kept = next((tmp_path / "state").glob("csi-*/kept"))
            assert kept.stat().st_gid == 77
            await box.delete()
            await box.until(lambda status: status == {})
        assert mounts.below(box.agent.settings.data_dir) == []
        reasons = [text for reason, text in await box.events() if reason == "FailedMount"]
        assert all("not found in the list of registered CSI drivers" in text for text in reasons) and reasons


async def test_a_claims_volume_outlives_the_agent_and_is_undone_after_the_pod_left_without_it(
    host_lock, own_network, tmp_path
):
    async with real_box(tmp_path) as box:
        await declare(box, attachRequired=False)
        bound = claim(volume="v", bound=True)
        held = volume(claimed=bound, source={"csi": {"driver": NAME, "volumeHandle": "h1"}})
        await box.client.create(resources.get("", "v1", "persistentvolumeclaims"), bound, "shop")
        await box.client.create(resources.get("", "v1", "persistentvolumes"), held)
        state = tmp_path / "state"
        with driver(box, state):
            await box.create(pod_with({"persistentVolumeClaim": {"claimName": "data"}}))
            status = await box.until(phase("Succeeded"))
            assert said(status)["staging_target_path"].endswith("globalmount")
            await box.kill_agent()
            await box.delete(grace_seconds=0)
            await box.start_agent()
            for _ in range(100):
                methods = [json.loads(line)["method"] for line in (state / "asked").read_text().splitlines()]
                if methods[-1] == "NodeUnstageVolume":
                    break
                await asyncio.sleep(0.1)
        # A kill in the midst of the end lets a step be asked for twice, as drivers must bear.
        in_order = ["NodeStageVolume", "NodePublishVolume", "NodeUnpublishVolume", "NodeUnstageVolume"]
        assert list(dict.fromkeys(methods)) == in_order
        assert mounts.below(box.agent.settings.data_dir) == [] and (state / "h1" / "kept").exists()
