"""What pods and nodes use, as kubectl top and the Summary API show it, and autoscaling by it."""

import json

import pytest

from cluster_builders import eventually
from pod_cluster import FOREVER, container, pod

pytestmark = pytest.mark.host

BUSY = "while :; do :; done"
MANIFESTS = [
    pod("busy", BUSY, main={"resources": {"limits": {"cpu": "300m"}}}),
    pod("two", containers=[container("one", FOREVER), container("other", FOREVER)]),
]


def cores(text):
    return int(text.removesuffix("m")) / 1000


def top(live, *words):
    """The words of each line that kubectl top prints."""
    done = live.try_kubectl("top", *words, "--no-headers")
    return [line.split() for line in done.stdout.splitlines()]


def test_top_shows_a_busy_pod(live):
    live.ready("busy", "two")

    def measured():
        found = {name: cores(cpu) for name, cpu, _ in top(live, "pod")}
        return found if 0.2 < found.get("busy", 0) < 0.4 else None

    found = eventually(measured, "a third of a core is used", 20)
    assert found["two"] < 0.05


def test_top_shows_containers_apart(live):
    live.ready("two")
    found = eventually(lambda: top(live, "pod", "two", "--containers"), "both containers are measured", 20)
    assert [line[:2] for line in found] == [["two", "one"], ["two", "other"]]
    assert all(line[3].endswith("Mi") for line in found)


def test_top_shows_the_node(live):
    (name, cpu, share, memory, _), *_ = eventually(lambda: top(live, "node"), "the node is measured", 20)
    assert name == "here" and cores(cpu) > 0.1 and share.endswith("%") and int(memory.removesuffix("Mi")) > 100


def test_the_api_is_registered_as_available(live):
    found = json.loads(live.ask("/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io")[1])
    assert found["status"]["conditions"][0]["status"] == "True"
