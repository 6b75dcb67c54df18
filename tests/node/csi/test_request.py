"""What a pod's volume means for its driver: pure."""

import hashlib

import pytest

from node_builders import new_pod, settings
from storage_builders import claim, volume
from tiphys.node.csi import abilities, request
from tiphys.node.csi.request import EPHEMERAL, PERSISTENT, Wanted
from tiphys.node.environment import Sources
from tiphys.node.objects import Ref
from tiphys.node.volumes.context import Context, VolumeProblem

DRIVER = "disk.example.com"


def context(root, **fields):
    pod = new_pod(**fields)
    pod["metadata"]["uid"] = "u1"
    return Context(pod, None, settings(root), Sources(), lambda: 0.0)


def wanted(mode=PERSISTENT, **fields):
    return Wanted(DRIVER, "h", "v", mode, **fields)


def csi_driver(**spec):
    return {"metadata": {"name": DRIVER}, "spec": spec}


def test_an_inline_volume_has_a_handle_of_its_pod_and_name(tmp_path):
    source = {"driver": DRIVER, "readOnly": True, "fsType": "ext4", "nodePublishSecretRef": {"name": "s"}}
    found = request.of_inline(context(tmp_path), {"name": "v", "csi": {**source, "volumeAttributes": {"a": "b"}}})
    assert found.handle == "csi-" + hashlib.sha256(b"u1v").hexdigest()
    assert (found.mode, found.read_only, found.fs_type, found.attributes) == (EPHEMERAL, True, "ext4", {"a": "b"})
    assert found.publish_secret == Ref("secrets", "shop", "s")


def test_a_volume_of_a_claim_says_all_that_its_driver_needs():
    secret = {"name": "s", "namespace": "vault"}
    source = {"driver": DRIVER, "volumeHandle": "h", "fsType": "xfs", "nodeStageSecretRef": secret}
    found = request.of_volume(volume(claimed=claim(), source={"csi": source}), read_only=True)
    assert (found.driver, found.handle, found.name, found.mode, found.read_only) == (DRIVER, "h", "v", PERSISTENT, True)
    assert found.stage_secret == Ref("secrets", "vault", "s") and found.publish_secret is None


@pytest.mark.parametrize(
    ("access", "able", "mode"),
    [
        ("ReadWriteOnce", (), 1),
        ("ReadOnlyMany", (), 3),
        ("ReadWriteMany", (), 5),
        ("ReadWriteOncePod", (), 1),
        ("ReadWriteOnce", (abilities.KNOWS_SINGLE_NODE_MULTI_WRITER,), 7),
        ("ReadWriteOncePod", (abilities.KNOWS_SINGLE_NODE_MULTI_WRITER,), 6),
    ],
)
def test_access_modes_are_told_in_csis_words(access, able, mode):
    found = request.capability(wanted(access_modes=(access,)), frozenset(able), None)
    assert found["access_mode"] == {"mode": mode} and found["mount"]["fs_type"] == ""


def test_a_group_is_told_only_to_drivers_that_take_one():
    assert "volume_mount_group" not in request.capability(wanted(), frozenset(), 7)["mount"]
    told = request.capability(wanted(), frozenset({abilities.TAKES_GROUP}), 7)
    assert told["mount"]["volume_mount_group"] == "7"
    assert request.capability(wanted(is_block=True), frozenset(), 7)["block"] == {}


@pytest.mark.parametrize(
    ("policy", "fields", "gives"),
    [
        ("None", {"fs_type": "ext4", "access_modes": ("ReadWriteOnce",)}, False),
        ("File", {}, True),
        ("File", {"read_only": True}, False),
        ("ReadWriteOnceWithFSType", {"fs_type": "ext4", "access_modes": ("ReadWriteOnce",)}, True),
        ("ReadWriteOnceWithFSType", {"fs_type": "ext4", "access_modes": ("ReadWriteMany",)}, False),
        ("ReadWriteOnceWithFSType", {"access_modes": ("ReadWriteOnce",)}, False),
        ("ReadWriteOnceWithFSType", {"mode": EPHEMERAL}, True),
    ],
)
def test_files_get_the_pods_group_where_the_drivers_policy_says_so(policy, fields, gives):
    assert request.gives_group(wanted(**fields), csi_driver(fsGroupPolicy=policy)) is gives


def test_a_driver_does_only_what_it_says_and_persistent_volumes_without_a_word():
    request.check_mode(wanted(), None)
    request.check_mode(wanted(EPHEMERAL), csi_driver(volumeLifecycleModes=["Persistent", "Ephemeral"]))
    with pytest.raises(VolumeProblem, match=r'mode "Ephemeral" not supported by driver .* \(no CSIDriver object\)'):
        request.check_mode(wanted(EPHEMERAL), None)
    with pytest.raises(VolumeProblem, match=r'\(only supports \["Persistent"\]\)'):
        request.check_mode(wanted(EPHEMERAL), csi_driver(volumeLifecycleModes=["Persistent"]))


def test_volumes_are_attached_unless_the_driver_says_that_they_need_not():
    assert request.needs_attachment(wanted(), None) and request.needs_attachment(wanted(), csi_driver())
    assert not request.needs_attachment(wanted(), csi_driver(attachRequired=False))
    assert not request.needs_attachment(wanted(EPHEMERAL), csi_driver(attachRequired=True))


def test_a_driver_may_know_the_pod(tmp_path):
    told = request.pod_attributes(context(tmp_path, serviceAccountName="sa"), wanted(EPHEMERAL))
    assert {name.removeprefix("csi.storage.k8s.io/"): value for name, value in told.items()} == {
        "pod.name": "web", "pod.namespace": "shop", "pod.uid": "u1", "serviceAccount.name": "sa", "ephemeral": "true",
    }  # fmt: skip
