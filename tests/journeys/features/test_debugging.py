"""What helps who looks for a fault: commands that are not there, debug containers; and what a namespace may use."""

import pytest

from cluster_builders import eventually
from pod_cluster import of_kind, pod
from pod_image import IMAGE

pytestmark = pytest.mark.host

QUOTA = of_kind("ResourceQuota", "few", spec={"hard": {"count/secrets": "1"}})
BUDGET = of_kind(
    "PodDisruptionBudget", "keep", "policy/v1", spec={"minAvailable": 1, "selector": {"matchLabels": {"app": "kept"}}}
)
MANIFESTS = [QUOTA, BUDGET, pod("seen"), pod("kept", labels={"app": "kept"})]


@pytest.mark.parametrize(("program", "code"), [("nope", 127), ("/etc/passwd", 126)])
def test_a_command_that_cannot_be_started_says_why(live, program, code):
    failed = live.try_kubectl("exec", live.ready("seen"), "--", program)
    assert failed.returncode == code
    assert "OCI runtime exec failed" in failed.stderr and f'"{program}"' in failed.stderr


def test_a_debug_container_sees_its_target(live):
    script = "sleep 0.2; cat /proc/1/cmdline | tr '\\0' ' '; sleep 99"
    arguments = ("--image", IMAGE, "--target", "main", "-c", "look", "--image-pull-policy=Never")
    live.kubectl("debug", live.ready("seen"), *arguments, "--", "sh", "-c", script)
    eventually(lambda: "exec 2>&1" in live.log("seen", "look"), "the target's processes are seen")


def test_a_namespace_may_not_use_more_than_its_quota(live):
    live.kubectl("create", "secret", "generic", "one")
    refused = live.try_kubectl("create", "secret", "generic", "two")
    assert "exceeded quota: few" in refused.stderr


def test_the_last_healthy_pod_is_not_evicted(live):
    live.ready("kept")
    (node,) = live.get("nodes")["items"]
    words = ("--pod-selector", "app=kept", "--timeout", "2s", "--force")
    refused = live.try_kubectl("drain", node["metadata"]["name"], *words)
    assert "would violate the pod's disruption budget" in refused.stderr
