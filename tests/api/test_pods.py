"""What a pod asks of its node, which class it is in, what it tolerates."""

import pytest

from builders import pod
from tiphys.api import pods


def container(cpu="", memory="", limits=None, **more):
    requests = {name: text for name, text in (("cpu", cpu), ("memory", memory)) if text}
    return {"name": "c", "resources": {"requests": requests, **({"limits": limits} if limits else {})}, **more}


def test_ready_finished_and_active():
    assert pods.is_ready(pod("a")) and not pods.is_ready(pod("a", ready=False))
    assert pods.is_finished(pod("a", phase="Failed")) and not pods.is_finished(pod("a"))
    assert pods.is_active(pod("a"))
    assert not pods.is_active(pod("a", deleting=True)) and not pods.is_active(pod("a", phase="Succeeded"))


def test_containers_add_up():
    asked = pods.requests_of(pod("a", containers=[container("100m", "1Mi"), container("0.2")]))
    assert asked == {"cpu": 300, "memory": 1 << 20}


def test_the_largest_init_container_counts_if_it_needs_more():
    inits = [container("50m", "3Mi"), container("500m")]
    asked = pods.requests_of(pod("a", containers=[container("100m", "1Mi")], initContainers=inits))
    assert asked == {"cpu": 500, "memory": 3 << 20}


def test_a_sidecar_runs_beside_the_init_containers_after_it_and_the_main_ones():
    inits = [container("100m", restartPolicy="Always"), container("300m")]
    assert pods.requests_of(pod("a", containers=[container("200m")], initContainers=inits)) == {"cpu": 400}


def test_an_init_container_before_the_sidecar_does_not_pay_for_it():
    inits = [container("300m"), container("100m", restartPolicy="Always")]
    assert pods.requests_of(pod("a", containers=[container("200m")], initContainers=inits)) == {"cpu": 300}


def test_requests_of_the_whole_pod_replace_and_overhead_adds():
    whole = {"requests": {"cpu": "1"}}
    subject = pod("a", containers=[container("200m", "1Mi")], resources=whole, overhead={"cpu": "50m"})
    assert pods.requests_of(subject) == {"cpu": 1050, "memory": 1 << 20}


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        ([container()], "BestEffort"),
        ([container("1", "1Gi", {"cpu": "1", "memory": "1Gi"})], "Guaranteed"),
        ([container("1", "1Gi", {"cpu": "1", "memory": "1Gi"}), container()], "Burstable"),
        ([container("1", "1Gi", {"cpu": "2", "memory": "1Gi"})], "Burstable"),
        ([container("1")], "Burstable"),
        ([container("0", "0")], "BestEffort"),
        ([container("1000m", "1024Mi", {"cpu": "1", "memory": "1Gi"})], "Guaranteed"),
    ],
)
def test_the_class_follows_from_requests_and_limits(containers, expected):
    assert pods.qos_class(pod("a", containers=containers)) == expected


def test_resources_of_the_whole_pod_decide_alone():
    both = {"cpu": "1", "memory": "1Gi"}
    assert pods.qos_class(pod("a", resources={"requests": both, "limits": both})) == "Guaranteed"


TAINT = {"key": "gpu", "value": "a", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "gpu", "operator": "Exists"}, True),
        ({"key": "gpu", "value": "a"}, True),
        ({"key": "gpu", "value": "a", "effect": "NoSchedule"}, True),
        ({"key": "gpu", "value": "b"}, False),
        ({"key": "cpu", "operator": "Exists"}, False),
        ({"key": "gpu", "value": "a", "effect": "NoExecute"}, False),
    ],
)
def test_a_toleration_meets_its_taint_alone(toleration, tolerated):
    assert pods.tolerates(toleration, TAINT) is tolerated
