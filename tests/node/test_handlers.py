"""What a pod's RuntimeClass asks for is here, or the pod is told that it is not."""

import pytest

from node_builders import Box, new_pod, on_a_node
from tiphys.api import resources

CLASSES = resources.get("node.k8s.io", "v1", "runtimeclasses")


def runtime_class(name, handler):
    return {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, "handler": handler}


def test_a_handler_that_is_known_runs_the_pod(tmp_path):
    async def scenario(box: Box):
        await box.client.create(CLASSES, runtime_class("plain", "crun"))
        await box.create(new_pod(runtimeClassName="plain"))
        await box.ready()

    on_a_node(tmp_path, scenario)


@pytest.mark.parametrize(
    ("name", "why"),
    [("none", 'runtimeclass.node.k8s.io "none" not found'), ("vm", 'no runtime for "kata" is configured')],
)
def test_a_handler_that_is_not_known_is_told(tmp_path, name, why):
    async def scenario(box: Box):
        await box.client.create(CLASSES, runtime_class("vm", "kata"))
        await box.create(new_pod(runtimeClassName=name))
        await box.until(lambda s: any(c["type"] == "PodReadyToStartContainers" for c in s.get("conditions", ())))
        text = f"Failed to create pod sandbox: failed to get sandbox runtime: {why}"
        assert ("FailedCreatePodSandBox", text) in await box.events()

    on_a_node(tmp_path, scenario)
