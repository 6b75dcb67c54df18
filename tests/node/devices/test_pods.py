"""Pods that want devices: on the fake runtime the admission, on the real one a plugin that is a program of its own."""

import asyncio
import subprocess
import sys

import pytest

import plugin_builders
from host_builders import real_box
from node_builders import container, new_pod, on_a_node, phase
from tiphys.api import resources

NODES = resources.get("", "v1", "nodes")
NULL = "example.com/null"
SCRIPT = "exec > /dev/termination-log; echo $DEVICES $WHO; echo x > /dev/d0 && cat /etc/of-the-plugin"


def pod_with(count=1, **fields):
    one = container(resources={"limits": {NULL: str(count)}}, **fields)
    return new_pod(containers=[one], restartPolicy="Never")


async def node_shows(box, capacity, allocatable):
    """Once the node's status says so."""
    for _ in range(200):
        status = (await box.client.get(NODES, "n1")).get("status", {})
        if [status.get(part, {}).get(NULL) for part in ("capacity", "allocatable")] == [capacity, allocatable]:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(status)


def test_a_pod_whose_devices_nobody_has_is_refused_in_the_kubelets_words(tmp_path):
    async def scenario(box):
        box.agent.parts.devices._ledger.add_resource(NULL)
        await box.create(pod_with())
        status = await box.until(phase("Failed"))
        cause = f"Allocate failed due to cannot allocate unregistered device {NULL}, which is unexpected"
        assert (status["reason"], status["message"]) == ("UnexpectedAdmissionError", f"Pod was rejected: {cause}")
        assert ("UnexpectedAdmissionError", cause) in await box.events()

    on_a_node(tmp_path, scenario)


@pytest.mark.host
async def test_a_real_container_uses_a_device_of_a_program_that_registered(host_lock, own_network, tmp_path):
    async with real_box(tmp_path) as box:
        directory = str(box.agent.settings.device_plugins_dir)
        with subprocess.Popen([sys.executable, plugin_builders.__file__, directory, NULL, "1"]) as plugin:
            try:
                await node_shows(box, "1", "1")
                await box.create(pod_with(command=["/bin/sh", "-c", SCRIPT]))
                status = await box.until(lambda status: status.get("phase") in ("Succeeded", "Failed"))
            finally:
                plugin.kill()
        ended = status["containerStatuses"][0]["state"]["terminated"]
        assert ended["exitCode"] == 0 and ended["message"].startswith("d0 plugin\n")
        await node_shows(box, "1", "0")
