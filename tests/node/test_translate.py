"""From Pod to container and sandbox: what the runtime is told."""

import dataclasses

import pytest

from node_builders import container, new_pod, settings
from tiphys.network.door import Lease, PortForward
from tiphys.node import translate
from tiphys.node.environment import ConfigError, Sources
from tiphys.node.files import PodFiles
from tiphys.node.translate import Place, container_spec, port_forwards, run_of, sandbox_spec
from tiphys.runtime.door import ContainerStatus, RuntimeFailure
from tiphys.runtime.fake import fake_image

IMAGE = fake_image("app:1")
LEASE = Lease("uid-web", "/netns/1", "10.42.0.2", "10.42.0.1", "veth1")


def pod_of(root, *containers, **fields):
    pod = new_pod(containers=list(containers) or None, **fields)
    pod["metadata"]["uid"] = "uid-web"
    PodFiles(pod, settings(root)).write("10.42.0.2")
    return pod


def told(root, one, volumes=None, **fields):
    """What the runtime is told of one container."""
    pod = pod_of(root, one, **fields)
    place = Place(settings(root), volumes or {}, Sources(), "/logs/0.log", 8 << 30)
    return container_spec(pod, one, 2, IMAGE, place)


def test_references_in_words_are_expanded(tmp_path):
    one = container(command=["run", "$(MODE)"], args=["$$(MODE)", "$(NONE)"], env=[{"name": "MODE", "value": "x"}])
    spec = told(tmp_path, one)
    assert spec.command == ("run", "x") and spec.args == ("$(MODE)", "$(NONE)")
    assert dict(spec.env) == {"HOSTNAME": "web", "MODE": "x"}


def test_a_run_can_be_recognized_by_its_labels(tmp_path):
    spec = told(tmp_path, container())
    run = run_of(ContainerStatus(spec.id, spec.sandbox, "c", "running", labels=spec.labels))
    assert (run.attempt, run.image) == (2, "docker.io/library/app:1") and run.image_id == IMAGE.digests[0]
    assert spec.sandbox == spec.labels[translate.POD_UID] == "uid-web"


def test_an_image_of_several_repositories_is_shown_in_the_one_that_was_named():
    digests = ("mirror.example/app@sha256:aa", *IMAGE.digests)
    shared = dataclasses.replace(IMAGE, digests=digests)
    assert translate.image_digest(container(image="app:1"), shared) == IMAGE.digests[0]
    assert translate.image_digest(container(image="other:1"), shared) == digests[0]


def test_every_container_gets_the_files_of_the_node(tmp_path):
    mounts = {mount.destination: mount.source for mount in told(tmp_path, container()).mounts}
    assert set(mounts) == {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/dev/termination-log"}


def test_files_that_the_node_keeps_are_read_only_to_all(tmp_path):
    one = container(volumeMounts=[{"name": name, "mountPath": f"/{name}"} for name in ("map", "disk")])
    volumes = [{"name": "map", "configMap": {"name": "m"}}, {"name": "disk", "emptyDir": {}}]
    pod = pod_of(tmp_path, one) | {"spec": {"containers": [one], "volumes": volumes}}
    place = Place(settings(tmp_path), {"map": "/m", "disk": "/d"}, Sources(), "/logs/0.log", 8 << 30)
    mounts = container_spec(pod, one, 0, IMAGE, place).mounts
    assert [mount.read_only for mount in mounts[:2]] == [True, False]


def test_a_pod_may_have_users_of_its_own(tmp_path):
    assert sandbox_spec(pod_of(tmp_path, hostUsers=False), LEASE, settings(tmp_path)).own_users
    assert not sandbox_spec(pod_of(tmp_path), LEASE, settings(tmp_path)).own_users


def test_a_mount_of_ones_own_wins_and_parents_come_first(tmp_path):
    mounts = [{"name": "v", "mountPath": path} for path in ("/a/b/c", "/etc/hosts", "/a")]
    spec = told(tmp_path, container(volumeMounts=mounts), {"v": "/vol"})
    paths = [mount.destination for mount in spec.mounts]
    assert paths.index("/a") < paths.index("/a/b/c") and paths.count("/etc/hosts") == 1


def test_read_only_and_propagation_are_passed_on(tmp_path):
    mount = {"name": "v", "mountPath": "/a", "readOnly": True, "recursiveReadOnly": "Enabled"}
    (first, *_) = told(tmp_path, container(volumeMounts=[{**mount, "mountPropagation": "HostToContainer"}]),
                       {"v": "/vol"}).mounts  # fmt: skip
    assert first.read_only and first.recursive_read_only and first.propagation == "rslave"


def test_root_is_refused_where_it_must_not_be(tmp_path):
    with pytest.raises(ConfigError, match="image will run as root"):
        told(tmp_path, container(securityContext={"runAsNonRoot": True}))


def test_a_sandbox_knows_its_names_and_its_cgroup(tmp_path):
    spec = sandbox_spec(pod_of(tmp_path), LEASE, settings(tmp_path))
    assert (spec.hostname, spec.netns, spec.cgroup) == ("web", "/netns/1", "besteffort/poduid-web")


def test_the_hosts_network_needs_no_lease(tmp_path):
    pod = pod_of(tmp_path, container(ports=[{"containerPort": 80, "hostPort": 80}]), hostNetwork=True)
    spec = sandbox_spec(pod, None, settings(tmp_path))
    assert (spec.hostname, spec.netns) == ("n1", "") and port_forwards(pod) == []


def test_host_ports_become_forwards(tmp_path):
    pod = pod_of(tmp_path, container(ports=[{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81}]))
    assert port_forwards(pod) == [PortForward("", 8080, "TCP", 80)]


def test_the_kernel_knows_a_pod_by_its_full_name_if_it_wants_that(tmp_path):
    named = {"hostname": "inner", "subdomain": "outer", "setHostnameAsFQDN": True}
    full = "inner.outer.shop.svc.cluster.local"
    assert sandbox_spec(pod_of(tmp_path, **named), LEASE, settings(tmp_path)).hostname == full
    assert dict(told(tmp_path, container(), **named).env)["HOSTNAME"] == full
    with pytest.raises(RuntimeFailure, match="64 characters is the max"):
        sandbox_spec(pod_of(tmp_path, **{**named, "subdomain": "o" * 40}), LEASE, settings(tmp_path))


def test_a_claim_that_is_only_read_is_read_only_to_all_and_devices_keep_to_that(tmp_path):
    uses = {
        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
        "volumeDevices": [{"name": "d", "devicePath": "/dev/x"}],
    }
    claims = [{"name": name, "persistentVolumeClaim": {"claimName": name, "readOnly": name == "v"}} for name in "vd"]
    pod = pod_of(tmp_path, container(**uses), volumes=claims)
    place = Place(settings(tmp_path), {"v": "/host/v", "d": "/dev/loop7"}, Sources(), "/logs/0.log", 8 << 30)
    spec = container_spec(pod, container(**uses), 2, IMAGE, place)
    assert [mount.read_only for mount in spec.mounts if mount.destination == "/v"] == [True]
    assert [(one.host_path, one.path, one.permissions) for one in spec.devices] == [("/dev/loop7", "/dev/x", "rwm")]
