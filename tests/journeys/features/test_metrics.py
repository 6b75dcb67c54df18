"""What pods and nodes use, as kubectl top and the Summary API show it, and autoscaling by it."""

import json

import pytest

from cluster_builders import eventually
from pod_cluster import FOREVER, container, of_kind, pod

pytestmark = pytest.mark.host

BUSY = "trap exit TERM; while :; do :; done"
WORKER = "while [ ! -e /go ]; do sleep 0.1; done; " + BUSY
LABELS = {"app": "worker"}


def deployment(name, shell, **main):
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [container("main", shell, **main)]}}
    template["spec"]["terminationGracePeriodSeconds"] = 0
    return of_kind("Deployment", name, "apps/v1", spec={"selector": {"matchLabels": LABELS}, "template": template})


def autoscaler(name, *metrics, most):
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    spec = {"scaleTargetRef": target, "maxReplicas": most, "metrics": list(metrics)}
    return of_kind("HorizontalPodAutoscaler", name, "autoscaling/v2", spec=spec)


CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
SLICE = {"limits": {"cpu": "100m"}, "requests": {"cpu": "50m"}}
MANIFESTS = [
    deployment("worker", WORKER, resources=SLICE),
    autoscaler("worker", CPU, most=2),
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


def test_load_brings_replicas(live):
    live.settle("worker")

    def watched():
        status = json.loads(live.kubectl("get", "hpa", "worker", "-o", "json"))["status"]
        active = [one["status"] for one in status["conditions"] if one["type"] == "ScalingActive"]
        return status if active == ["True"] else None

    assert eventually(watched, "the autoscaler sees the load", 20)["desiredReplicas"] == 1
    live.kubectl("exec", "deploy/worker", "--", "touch", "/go")
    assert "above target" in live.event("worker", "SuccessfulRescale")
    live.settle("worker")
    assert len(live.pods("app=worker")) == 2
