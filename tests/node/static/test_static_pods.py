"""Pods from files of the node's own, and the mirror pods by which the API shows them."""

import asyncio

import pytest

from node_builders import PODS, Box, on_a_node
from tiphys.api import resources
from tiphys.api.errors import failure
from tiphys.node.static import manifest
from tiphys.node.static.pods import Create, Delete, plan

NODES = resources.get("", "v1", "nodes")
NODE = {"metadata": {"name": "n1", "uid": "node-uid"}}
TEXT = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 1
  priorityClassName: system-node-critical
  containers: [{name: c, image: "app:1"}]
"""


def read(text=TEXT, path="/m/web.yaml"):
    return manifest.read(text.encode(), path, "n1", 1000.0)


# files


def test_a_file_becomes_a_pod_of_the_node():
    pod = read()
    meta, spec = pod["metadata"], pod["spec"]
    assert (meta["name"], meta["namespace"], spec["nodeName"]) == ("web-n1", "shop", "n1")
    assert meta["annotations"]["kubernetes.io/config.source"] == "file"
    assert meta["annotations"]["kubernetes.io/config.hash"] == meta["uid"]
    assert {"operator": "Exists", "effect": "NoExecute"} in spec["tolerations"]
    assert (spec["priority"], spec["restartPolicy"]) == (2_000_001_000, "Always")


def test_another_file_or_other_words_are_another_pod():
    uids = {one["metadata"]["uid"] for one in (read(), read(), read(path="/m/x"), read(TEXT.replace("app:1", "b:2")))}
    assert len(uids) == 3


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (TEXT.replace("kind: Pod", "kind: Job"), "not a v1 Pod"),
        (TEXT.replace("containers", "boxes"), "unknown fields"),
        (TEXT.replace("name: web,", "name: Web!,"), "metadata.name"),
        (TEXT + "  volumes: [{name: v, configMap: {name: m}}]", "static pods may not reference configmaps"),
        (TEXT + "  serviceAccountName: s", "static pods may not reference serviceaccounts"),
        ("{", "yaml"),
    ],
)
def test_what_is_no_pod_for_this_node_is_refused(text, why):
    with pytest.raises(manifest.ManifestError, match=why):
        read(text)


# mirrors


def test_a_static_pod_is_shown_and_what_shows_no_other_is_taken_away():
    pod = read()
    assert plan(pod, None, NODE) == [Create(manifest.mirror_of(pod, NODE))]
    assert plan(None, None, NODE) == []
    assert plan(pod, None, {"metadata": {"name": "n1"}}) == [], "before the node is known"
    mirror = {**manifest.mirror_of(pod, NODE)}
    mirror["metadata"] = {**mirror["metadata"], "uid": "m"}
    assert plan(None, mirror, NODE) == [Delete("m")]
    assert plan(read(TEXT.replace("app:1", "b:2")), mirror, NODE) == [Delete("m")]
    leaving = {**mirror, "metadata": {**mirror["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert plan(pod, leaving, NODE) == [Delete("m")]
    assert plan(pod, {"metadata": {"name": "web-n1", "uid": "x"}}, NODE) == [], "somebody else's pod"


def test_settled_means_no_commands():
    pod = read()
    mirror = manifest.mirror_of(pod, NODE)
    assert plan(pod, mirror, NODE) == []


# the agent


async def shown(box, condition=lambda pod: True):
    for _ in range(200):
        pod = await box.get("web-n1")
        if pod is not None and condition(pod):
            return pod
        await asyncio.sleep(0.05)
    raise AssertionError(pod)


def is_running(pod):
    return pod.get("status", {}).get("phase") == "Running"


def test_a_static_pod_runs_and_its_mirror_comes_back(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m/web.yaml").write_text(TEXT)

    async def scenario(box: Box):
        first = await shown(box, is_running)
        (owner,) = first["metadata"]["ownerReferences"]
        node = await box.client.get(NODES, "n1")
        assert (owner["kind"], owner["uid"]) == ("Node", node["metadata"]["uid"])
        runs = [spec.id for spec in box.runtime.specs()]
        await box.client.delete(PODS, ("shop", "web-n1"))
        second = await shown(box, lambda pod: pod["metadata"]["uid"] != first["metadata"]["uid"] and is_running(pod))
        assert second["status"]["containerStatuses"][0]["restartCount"] == 0
        assert [spec.id for spec in box.runtime.specs()] == runs
        (tmp_path / "m/web.yaml").unlink()
        await box.until(lambda s: s == {}, "web-n1")
        assert box.runtime.specs() == []

    on_a_node(tmp_path, scenario, static_pods_dir=tmp_path / "m")


def test_a_changed_file_is_another_pod_after_the_first_has_ended(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m/web.yaml").write_text(TEXT)

    async def scenario(box: Box):
        box.runtime.add_image("app:2")
        first = await shown(box, is_running)
        (tmp_path / "m/web.yaml").write_text("no pod at all")
        await asyncio.sleep(0.05)
        assert await shown(box, is_running) == first, "a file that is broken counts as before"
        (tmp_path / "m/web.yaml").write_text(TEXT.replace("app:1", "app:2"))
        second = await shown(box, lambda pod: pod["spec"]["containers"][0]["image"] == "app:2" and is_running(pod))
        assert second["metadata"]["annotations"] != first["metadata"]["annotations"]
        assert len(box.runtime.specs()) == 1

    on_a_node(tmp_path, scenario, static_pods_dir=tmp_path / "m")


def test_static_pods_do_not_wait_for_an_api(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m/web.yaml").write_text(TEXT)

    async def scenario(box: Box):
        await shown(box, is_running)
        await box.kill_agent()
        runs = [spec.id for spec in box.runtime.specs()]
        box.api.fail = failure(503, "ServiceUnavailable", "the API is away")
        await box.start_agent(wait=False)
        await asyncio.sleep(1)
        assert [spec.id for spec in box.runtime.specs()] == runs, "found again"
        (worker,) = box.agent.workers
        box.runtime.exit(runs[0], 1)
        await asyncio.sleep(20)
        assert worker.state.container("c").runs[-1].attempt == 1
        box.api.fail = None
        await shown(box, lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] == 1)

    on_a_node(tmp_path, scenario, static_pods_dir=tmp_path / "m")
