"""What the node refuses, with the kubelet's reasons."""

import asyncio

import pytest

from builders import node
from node_builders import container, new_pod, on_a_node, phase
from tiphys.api import resources
from tiphys.node.admission import refusal
from tiphys.node.machine import Machine


def affine(key, operator, *values):
    term = {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    return new_pod(affinity={"nodeAffinity": required})


def wanting(**requests):
    return new_pod(containers=[container(resources={"requests": requests})])


HERE = node("n1", labels={"disk": "ssd", "cores": "8"})


def test_a_pod_that_fits_is_taken():
    assert refusal(wanting(cpu="2"), [wanting(cpu="2")], HERE) is None


def test_too_little_cpu_is_said_in_numbers():
    refused = refusal(wanting(cpu="2"), [wanting(cpu="3")], HERE)
    assert refused.reason == "OutOfcpu"
    assert refused.message == "Node didn't have enough resource: cpu, requested: 2000, used: 3000, capacity: 4000"


def test_there_is_room_for_only_so_many_pods():
    assert refusal(new_pod(), [new_pod()] * 3, node("n1", pods="3")).reason == "OutOfpods"


@pytest.mark.parametrize(
    "operator, values, fits",
    [("In", ["ssd"], True), ("NotIn", ["ssd"], False), ("Exists", [], True), ("DoesNotExist", [], False)],
)
def test_affinity_is_checked_against_the_labels(operator, values, fits):
    refused = refusal(affine("disk", operator, *values), [], HERE)
    assert (refused is None) == fits


def test_numbers_in_labels_compare():
    assert refusal(affine("cores", "Gt", "4"), [], HERE) is None
    assert refusal(affine("cores", "Lt", "4"), [], HERE).reason == "NodeAffinity"
    assert refusal(affine("disk", "Gt", "4"), [], HERE).reason == "NodeAffinity"


def test_a_host_port_is_given_once():
    wanted = new_pod(containers=[container(ports=[{"containerPort": 80, "hostPort": 80}])])
    on_host = new_pod(containers=[container(ports=[{"containerPort": 80, "hostPort": 80}])], hostNetwork=True)
    assert refusal(wanted, [], HERE) is None
    assert refusal(wanted, [on_host], HERE).reason == "NodePorts"


def test_unsafe_sysctls_are_refused_unless_allowed():
    pod = new_pod(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]})
    assert refusal(pod, [], HERE).message == 'forbidden sysctl: "kernel.msgmax" not allowlisted'
    assert refusal(pod, [], HERE, ("kernel.msg*",)) is None


def test_a_refused_pod_has_failed_and_touched_nothing(tmp_path):
    async def scenario(box):
        await box.create(wanting(cpu="5"))
        status = await box.until(phase("Failed"))
        assert status["reason"] == "OutOfcpu" and status["message"].startswith("Pod was rejected: Node didn't have")
        await asyncio.sleep(1)
        assert await box.network.leases() == [] and "start" not in [verb for verb, _ in box.runtime.calls]

    on_a_node(tmp_path, scenario)


def test_a_label_that_is_new_counts(tmp_path):
    async def scenario(box):
        label = {"metadata": {"labels": {"disk": "ssd"}}}
        await box.client.patch(resources.get("", "v1", "nodes"), ("", "n1"), label)
        await box.create(new_pod(nodeSelector={"disk": "ssd"}))
        await box.ready()

    on_a_node(tmp_path, scenario)


def test_of_two_that_come_at_once_the_first_is_taken(tmp_path):
    async def scenario(box):
        for name in ("a", "b"):
            await box.create({**wanting(cpu="3"), "metadata": {"name": name, "namespace": "shop"}})
        await box.ready("a")
        assert (await box.until(phase("Failed"), "b"))["reason"] == "OutOfcpu"

    on_a_node(tmp_path, scenario)


@pytest.mark.parametrize(
    ("context", "host", "reason"),
    [
        ({"appArmorProfile": {"type": "Localhost", "localhostProfile": "p"}}, Machine(), "AppArmor"),
        ({"appArmorProfile": {"type": "RuntimeDefault"}}, Machine(apparmor=True), "AppArmor"),
        ({"seLinuxOptions": {"level": "s0"}}, Machine(selinux=True), "SELinux"),
    ],
)
def test_a_promise_about_security_that_is_not_kept_here_is_refused(context, host, reason):
    assert refusal(new_pod(securityContext=context), [], HERE, (), host).reason == reason


def test_what_the_host_keeps_or_has_no_word_for_is_taken():
    profile = {"appArmorProfile": {"type": "Localhost", "localhostProfile": "p"}}
    assert refusal(new_pod(securityContext=profile), [], HERE, (), Machine(apparmor=True)) is None
    assert refusal(new_pod(securityContext={"seLinuxOptions": {"level": "s0"}}), [], HERE) is None
    assert refusal(new_pod(securityContext={"supplementalGroupsPolicy": "Strict"}), [], HERE) is None
    unconfined = {"appArmorProfile": {"type": "Unconfined"}, "supplementalGroupsPolicy": "Merge"}
    assert refusal(new_pod(securityContext=unconfined), [], HERE) is None
