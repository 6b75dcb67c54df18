"""Programs of others on a node: a storage driver, with volumes of pods and of claims, and a device plugin."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import csi_builders
import plugin_builders
from cluster_builders import eventually
from pod_cluster import mounted, of_kind, pod

pytestmark = pytest.mark.host

# Taken away with the cluster.
LINK = Path(tempfile.gettempdir()) / f"kubelet-{os.getpid()}"
OPTIONS = ["--kubelet-dir", LINK]
DRIVER, NULL = "disk.example.com", "example.com/null"
SECRET = {"name": "key", "namespace": "default"}
SHOW = "cat /v/told.json; echo kept > /v/kept"
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def cluster_wide(kind, name, version="v1", **fields):
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **fields}


MANIFESTS = [
    cluster_wide("CSIDriver", DRIVER, "storage.k8s.io/v1", spec={
        "attachRequired": False, "podInfoOnMount": True, "volumeLifecycleModes": ["Ephemeral", "Persistent"],
        "tokenRequests": [{"audience": "vault"}],
    }),
    of_kind("Secret", "key", stringData={"word": "sesame"}),
    cluster_wide("PersistentVolume", "disk", spec={
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "", "csi": {
            "driver": DRIVER, "volumeHandle": "h1", "fsType": "ext4", "nodeStageSecretRef": SECRET,
            "nodePublishSecretRef": SECRET,
        },
    }),
    of_kind("PersistentVolumeClaim", "data", spec={**CLAIM, "storageClassName": "", "volumeName": "disk"}),
    pod("inline", SHOW, **mounted({"csi": {"driver": DRIVER, "volumeAttributes": {"a": "b"}}})),
    pod("claims", SHOW, securityContext={"fsGroup": 77}, **mounted({"persistentVolumeClaim": {"claimName": "data"}})),
    pod("device", "echo $DEVICES $WHO; test -c /dev/d0 && echo works", main={"resources": {"limits": {NULL: "1"}}}),
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def programs(live, tmp_path_factory):
    """By the name of a link, as their manifests would name the directory."""
    state = tmp_path_factory.mktemp("s")
    commands = [
        [csi_builders.__file__, LINK, DRIVER, state],
        [plugin_builders.__file__, LINK / "device-plugins", NULL, 1],
    ]
    begun = [subprocess.Popen([sys.executable, *map(str, words)]) for words in commands]
    try:
        yield state
    finally:
        for program in begun:
            program.kill()
            program.wait()


def test_a_driver_is_listed_on_its_node(live):
    def listed():
        code, body = live.ask("/apis/storage.k8s.io/v1/csinodes/here")
        return code == 200 and json.loads(body)["spec"]["drivers"]

    assert [one["nodeID"] for one in eventually(listed, "the driver is listed")] == ["id-of-n1"]
    node = json.loads(live.ask("/api/v1/nodes/here")[1])
    assert node["metadata"]["labels"]["topology.example.com/zone"] == "a"


def test_an_inline_volume_tells_its_driver_of_the_pod(live):
    told = json.loads(live.told("inline"))["volume_context"]
    assert (told["a"], told["csi.storage.k8s.io/pod.name"], told["csi.storage.k8s.io/ephemeral"]) == (
        "b",
        "inline",
        "true",
    )
    assert "vault" in told["csi.storage.k8s.io/serviceAccount.tokens"]


def test_a_claims_volume_is_staged_and_published_with_its_secrets(live, programs):
    told = json.loads(live.told("claims"))
    assert told["secrets"] == {"word": "sesame"} and told["staging_target_path"].startswith(str(LINK))
    assert (programs / "h1" / "kept").stat().st_gid == 77
    live.kubectl("delete", "pod", "claims", "inline")
    methods = [json.loads(line)["method"] for line in (programs / "asked").read_text().splitlines()]
    assert sorted(methods[-3:]) == ["NodeUnpublishVolume", "NodeUnpublishVolume", "NodeUnstageVolume"]


def test_a_device_is_there_for_its_container(live):
    assert live.told("device").split() == ["d0", "plugin", "works"]
    assert json.loads(live.ask("/api/v1/nodes/here")[1])["status"]["allocatable"][NULL] == "1"
