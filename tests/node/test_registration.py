"""The Node object: what it says, that it lives, and that it comes back."""

import asyncio

from node_builders import MACHINE, on_a_node, settings
from tiphys.api import resources
from tiphys.node.machine import read_machine
from tiphys.node.registration import Pressure, conditions_of, image_list, node_object
from tiphys.runtime.fake import fake_image

NODES = resources.get("", "v1", "nodes")
LEASES = resources.get("coordination.k8s.io", "v1", "leases")
NOW = 1_800_000_000.0


def test_a_node_registers_with_all_that_users_read(tmp_path):
    async def scenario(box):
        node = await box.client.get(NODES, "n1")
        assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "n1"
        assert node["status"]["allocatable"] == dict(MACHINE.allocatable)
        assert {c["type"]: c["status"] for c in node["status"]["conditions"]} == {
            "MemoryPressure": "False",
            "DiskPressure": "False",
            "PIDPressure": "False",
            "Ready": "True",
        }
        assert node["status"]["images"][0]["names"][-1] == "docker.io/library/app:1"

    on_a_node(tmp_path, scenario)


def test_the_lease_is_renewed(tmp_path):
    async def scenario(box):
        await asyncio.sleep(1)
        first = await box.client.get(LEASES, "n1", "kube-node-lease")
        await asyncio.sleep(11)
        second = await box.client.get(LEASES, "n1", "kube-node-lease")
        assert first["spec"]["renewTime"] < second["spec"]["renewTime"]
        assert second["spec"]["holderIdentity"] == "n1" and second["spec"]["leaseDurationSeconds"] == 40

    on_a_node(tmp_path, scenario)


def test_a_node_that_exists_keeps_the_labels_of_others(tmp_path):
    async def scenario(box):
        await box.client.patch(NODES, ("", "n1"), {"metadata": {"labels": {"disk": "ssd"}}})
        await box.kill_agent()
        await box.start_agent()
        labels = (await box.client.get(NODES, "n1"))["metadata"]["labels"]
        assert labels["disk"] == "ssd" and labels["kubernetes.io/os"] == "linux"

    on_a_node(tmp_path, scenario)


def test_a_deleted_node_object_comes_back(tmp_path):
    async def scenario(box):
        await box.client.delete(NODES, ("", "n1"))
        await asyncio.sleep(10)
        node = await box.client.get(NODES, "n1")
        assert node["status"]["conditions"][-1]["status"] == "True"

    on_a_node(tmp_path, scenario)


def test_a_node_that_was_taken_for_dead_says_at_once_that_it_lives(tmp_path):
    async def scenario(box):
        silent = {"type": "Ready", "status": "Unknown", "lastTransitionTime": "2027-01-15T07:00:00Z"}
        await asyncio.sleep(5)
        await box.client.patch(NODES, ("", "n1"), {"status": {"conditions": [silent]}}, subresource="status")
        await asyncio.sleep(1)
        node = await box.client.get(NODES, "n1")
        ready = next(c for c in node["status"]["conditions"] if c["type"] == "Ready")
        assert (ready["status"], ready["lastTransitionTime"]) == ("True", "2027-01-15T08:00:05Z")

    on_a_node(tmp_path, scenario)


def test_a_condition_keeps_its_transition_time_until_it_flips():
    first = conditions_of(Pressure(), (), NOW)
    later = conditions_of(Pressure(memory=True), first, NOW + 60)
    times = {c["type"]: c["lastTransitionTime"] for c in later}
    assert times["MemoryPressure"] == "2027-01-15T08:01:00Z" and times["Ready"] == "2027-01-15T08:00:00Z"
    assert later[0]["reason"] == "KubeletHasInsufficientMemory"


def test_a_node_that_is_not_ready_says_why():
    ready = conditions_of(Pressure(not_ready="no network"), (), NOW)[-1]
    assert (ready["status"], ready["reason"], ready["message"]) == ("False", "KubeletNotReady", "no network")


def test_the_largest_images_are_shown_first():
    shown = image_list([fake_image("small", size_bytes=1), fake_image("large", size_bytes=9)])
    assert [image["sizeBytes"] for image in shown] == [9, 1]


def test_a_node_can_be_born_with_taints_and_a_range_of_addresses(tmp_path):
    taint = {"key": "only", "value": "gpu", "effect": "NoSchedule"}
    given = node_object(settings(tmp_path, taints=(taint,), pod_cidr="10.42.0.0/24"), MACHINE)
    assert given["spec"] == {"podCIDR": "10.42.0.0/24", "podCIDRs": ["10.42.0.0/24"], "taints": [taint]}


def test_this_machine_can_be_read(tmp_path):
    machine = read_machine(settings(tmp_path, system_reserved={"cpu": 500}), "crun://1", "v1.36.2")
    assert int(machine.capacity["cpu"]) >= 1 and machine.allocatable["cpu"].endswith("500m")
    assert machine.memory_bytes > 0 and machine.info["kernelVersion"] and machine.info["bootID"]


def test_the_start_is_told_under_the_nodes_name(tmp_path):
    async def scenario(box):
        await box.agent.parts.recorder.drained()
        found = (await box.client.list(resources.get("", "v1", "events"), "default")).items
        assert [(e["reason"], e["involvedObject"]["uid"]) for e in found] == [("Starting", "n1"), ("NodeReady", "n1")]

    on_a_node(tmp_path, scenario)
