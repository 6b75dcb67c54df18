"""Claims of pods: data outlive pods, sizes are kept, what is deleted is gone from the disk."""

import json
import os
import re
import signal
from pathlib import Path

import pytest

from cluster_builders import eventually
from pod_cluster import FOREVER, of_kind, pod
from tiphys.node.volumes import loops, mounts

pytestmark = pytest.mark.host

FILL = "dd if=/dev/zero of=/v/big bs=1M count=64; df -k /v | tail -1; rm /v/big"


def claim(name, size="16Mi", modes=("ReadWriteOnce",), **spec):
    requests = {"requests": {"storage": size}}
    return of_kind("PersistentVolumeClaim", name, spec={"accessModes": list(modes), "resources": requests, **spec})


def using(name, claimed, shell=FOREVER, *, main=None, read_only=False, **spec):
    source = {"persistentVolumeClaim": {"claimName": claimed, "readOnly": read_only}}
    uses = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]} if main is None else main
    return pod(name, shell, main=uses, volumes=[{"name": "v", **source}], **spec)


def mounting(**mount):
    return {"volumeMounts": [{"name": "v", "mountPath": "/v", **mount}]}


def local(name, path, cls="fixed", **spec):
    """A volume that an administrator made of a directory of the node."""
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["here"]}]}
    full = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": cls, **path}
    full |= {"nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}, **spec}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": full}


EPHEMERAL = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "8Mi"}}}
CLAIMS = [
    claim("data"), claim("grows", size="8Mi"), claim("raw", volumeMode="Block"), claim("gone"), claim("parts"),
    claim("stays"), claim("grouped"), claim("fixed", storageClassName="fixed"), claim("far", storageClassName="far"),
]  # fmt: skip
PODS = [
    using("writer", "data", f"echo kept > /v/file; {FILL}"),
    using("grower", "grows"),
    using("disk", "raw", "echo block > /dev/raw; head -c 5 /dev/raw; cat /sys/dev/block/*/size >/dev/null; sleep 1",
          main={"volumeDevices": [{"name": "v", "devicePath": "/dev/raw"}]}),
    using("mounts-disk", "raw"),
    using("loser", "gone"),
    using("stayer", "stays"),
    using("part", "parts", "echo one > /v/a; ls /v", main=mounting(subPath="deep/er")),
    using("named-part", "parts", "touch /v/b; ls /v", main={
        **mounting(subPathExpr="$(WHO)"), "env": [{"name": "WHO", "value": "me"}]}),
    using("escapes", "parts", main=mounting(subPath="link/etc"),
          initContainers=[{**pod("x")["spec"]["containers"][0], "name": "linker",
                           "command": ["ln", "-sfn", "/", "/all/link"],
                           "volumeMounts": [{"name": "v", "mountPath": "/all"}]}]),
    using("group", "grouped", "stat -c '%g %a' /v; touch /v/mine && stat -c %g /v/mine",
          securityContext={"fsGroup": 4000, "runAsUser": 1000}),
    using("reader", "data", "touch /v/x || echo refused; cat /v/file", read_only=True),
    using("fixed", "fixed", "cat /v/told"),
    using("nfs", "far"),
    pod("scratch", "df -k /v | tail -1; touch /v/x; sleep 99", main=mounting(),
        volumes=[{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": EPHEMERAL}}}]),
]  # fmt: skip
MANIFESTS = CLAIMS


@pytest.fixture(scope="module")
def cluster(live, tmp_path_factory):
    """Everything is applied at once, with a directory of the host that says hello."""
    shown = tmp_path_factory.mktemp("shown")
    (shown / "told").write_text("hello")
    fixed = [local("fixed", {"local": {"path": str(shown)}})]
    fixed.append(local("far", {"nfs": {"server": "192.0.2.1", "path": "/"}}, cls="far"))
    live.apply(*fixed)
    live.apply(*PODS)
    return live


def status_of(live, name):
    return live.found("persistentvolumeclaims", name).get("status", {})


def delete(live, kind, name):
    live.kubectl("delete", kind, name, "--wait=true", "--grace-period=1")


def volume_of(live, name):
    """The directory of its data on the node."""
    volume = live.found("persistentvolumeclaims", name)["spec"]["volumeName"]
    return Path(live.data) / "node" / "volumes" / volume


def test_a_claim_gives_a_pod_a_volume_whose_size_is_kept(cluster):
    told = cluster.told("writer")
    assert "No space left on device" in told
    assert int(told.split()[-5]) <= 16 * 1024
    assert cluster.told("reader").split()[-1] == "kept" and "refused" in cluster.told("reader")


def test_another_pod_finds_what_the_first_one_wrote(cluster):
    cluster.ended("writer")
    delete(cluster, "pod", "writer")
    cluster.apply(using("heir", "data", "cat /v/file"))
    assert cluster.told("heir") == "kept\n"


def test_a_volume_grows_while_it_is_used_or_when_it_is_next_mounted(cluster):
    cluster.ready("grower")
    change = {"spec": {"resources": {"requests": {"storage": "64Mi"}}}}
    cluster.kubectl("patch", "pvc", "grows", "-p", json.dumps(change))
    cluster.event("grows", "FileSystemResizeRequired")
    if status_of(cluster, "grows")["capacity"]["storage"] != "64Mi":
        delete(cluster, "pod", "grower")
        cluster.apply(using("grower", "grows"))
        cluster.ready("grower")
    eventually(lambda: status_of(cluster, "grows")["capacity"]["storage"] == "64Mi", "it has grown")
    assert int(cluster.shell("grower", "df -k /v | tail -1").split()[1]) > 32 * 1024
    assert "conditions" not in status_of(cluster, "grows")
    figures = cluster.ask("/api/v1/nodes/here/proxy/metrics")[1]
    told = re.search(r'kubelet_volume_stats_capacity_bytes.*claim="grows"} (.*)', figures)
    assert told and float(told[1]) > 32 << 20


def test_a_block_volume_is_a_disk_and_no_file_system(cluster):
    assert cluster.told("disk") == "block"
    cluster.event("mounts-disk", "FailedMount", "volume v has volumeMode Block, but is specified in volumeMounts")


def test_a_deleted_claim_waits_for_its_pod_and_takes_its_data_along(cluster):
    cluster.ready("loser")
    place = volume_of(cluster, "gone")
    cluster.kubectl("delete", "pvc", "gone", "--wait=false")
    assert place.exists() and cluster.found("persistentvolumeclaims", "gone")["metadata"]["deletionTimestamp"]
    delete(cluster, "pod", "loser")
    eventually(lambda: not place.exists(), "the data are gone")
    eventually(lambda: place.name not in cluster.kubectl("get", "pv", "-o", "name"), "the volume is gone")


def test_parts_of_a_volume_stay_inside_of_it(cluster):
    assert (cluster.told("part"), cluster.told("named-part")) == ("a\n", "b\n")
    assert "leads out of the volume" in cluster.waits("escapes", "CreateContainerConfigError")


def test_a_volume_is_given_to_the_group_of_its_pod(cluster):
    assert cluster.told("group").split() == ["4000", "2777", "4000"]


def test_volumes_of_an_administrator_are_used_where_the_node_can(cluster):
    assert cluster.told("fixed") == "hello"
    cluster.event("nfs", "FailedMount", "no volume plugin matched")


def test_a_kill_of_the_agent_changes_nothing_and_what_ends_meanwhile_is_unmounted(cluster):
    cluster.ready("stayer")
    cluster.shell("stayer", "echo before > /v/file")
    os.kill(cluster.server_pid, signal.SIGKILL)
    cluster.up()
    assert cluster.shell("stayer", "cat /v/file") == "before\n" and cluster.status("stayer")["restartCount"] == 0
    place = volume_of(cluster, "stays")
    delete(cluster, "pod", "stayer")
    assert mounts.below(place) == [] and place.exists()


def test_an_ephemeral_volume_goes_with_its_pod(cluster):
    eventually(lambda: cluster.log("scratch"), "it has told")
    assert int(cluster.log("scratch").split()[1]) <= 8 * 1024
    place = volume_of(cluster, "scratch-v")
    delete(cluster, "pod", "scratch")
    eventually(lambda: not place.exists(), "its data are gone")
    assert cluster.found("persistentvolumeclaims", "scratch-v") is None


def test_what_was_taken_down_is_mounted_again_with_its_data(cluster):
    cluster.apply(claim("lasting"), using("lasting", "lasting", restartPolicy="Always"))
    cluster.shell("lasting", "echo kept > /v/file; sync /v/file")
    cluster.down()
    node = Path(cluster.data) / "node"
    assert mounts.below(node) == [] and not [path for _, path in loops.devices() if str(node) in path]
    cluster.up()
    eventually(lambda: cluster.status("lasting")["restartCount"] == 1, "it runs again")
    assert cluster.shell("lasting", "cat /v/file") == "kept\n"
