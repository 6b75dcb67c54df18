"""From the claim of a pod to what is shown to it: every step is checked, with the kubelet's words."""

import asyncio
import os
import stat

import pytest

from builders import node
from builders import pod as a_pod
from node_builders import settings
from storage_builders import claim, volume
from tiny_api import TinyApi
from tiphys.api import storage
from tiphys.client.client import Client
from tiphys.client.events import Recorder
from tiphys.node.environment import Sources
from tiphys.node.objects import Objects
from tiphys.node.volumes import ownership
from tiphys.node.volumes.claims import Claims
from tiphys.node.volumes.context import Context, VolumeProblem
from tiphys.node.volumes.local_volumes import LocalVolumes, awaits_removal, disk_of, giver, grown_status

VOLUME = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
BOUND = claim(volume="v", bound=True)


def path(root):
    return {"hostPath": {"path": str(root), "type": "Directory"}}


def show(root, *objects, pods=None, wanted=VOLUME, **fields):
    """Where the volume is shown; to several pods one after the other, if asked."""

    async def main():
        api = TinyApi()
        for obj in objects:
            kind, meta = obj["kind"].lower() + "s", obj["metadata"]
            api.objects[(f"api/v1/{kind}", meta.get("namespace", ""), meta["name"])] = obj
        client = Client(api)
        local = LocalVolumes(client, Recorder(client, "kubelet", "n1"), settings(root))
        claims = Claims(client, local, lambda: node("n1"))
        for name in pods or ["web"]:
            pod = a_pod(name, volumes=[wanted], **fields)
            context = Context(pod, Objects(client), settings(root), Sources(), lambda: 0.0)
            shown = await claims.prepare(context, wanted)
        return shown

    return asyncio.run(main())


def test_a_bound_claim_of_a_host_path_is_that_path(tmp_path):
    assert show(tmp_path, BOUND, volume(claimed=BOUND, source=path(tmp_path))) == str(tmp_path)


@pytest.mark.parametrize(
    ("objects", "text"),
    [
        ([], 'error processing PVC shop/data: failed to fetch PVC from API server: persistentvolumeclaims "data"'),
        ([claim()], "PVC is not bound"),
        ([{**BOUND, "metadata": {**BOUND["metadata"], "deletionTimestamp": "x"}}], "PVC is being deleted"),
        ([BOUND], "failed to fetch PV v from API server"),
        ([BOUND, volume(claimed=claim("other"))], 'does not point to claim.UID "uid-data"'),
        ([BOUND, volume(claimed=BOUND, source={"nfs": {"server": "x"}})], "err=no volume plugin matched"),
    ],
)  # fmt: skip
def test_what_leads_nowhere_is_told_as_the_kubelet_tells_it(tmp_path, objects, text):
    with pytest.raises(VolumeProblem, match="Unable to attach or mount volumes: unmounted volumes=") as refused:
        show(tmp_path, *objects)
    assert text in str(refused.value)


def test_a_volume_of_another_node_is_refused(tmp_path):
    elsewhere = volume(claimed=BOUND, source=path(tmp_path))
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["n2"]}]}
    elsewhere["spec"]["nodeAffinity"] = {"required": {"nodeSelectorTerms": [term]}}
    with pytest.raises(VolumeProblem, match="no matching NodeSelectorTerms"):
        show(tmp_path, BOUND, elsewhere)


def test_a_volume_for_one_pod_is_not_shown_to_another(tmp_path):
    only = claim(volume="v", bound=True, modes=("ReadWriteOncePod",))
    held = volume(claimed=only, source=path(tmp_path))
    assert show(tmp_path, only, held, pods=["web", "web"])
    with pytest.raises(VolumeProblem, match="ReadWriteOncePod access mode and is already in use by another pod"):
        show(tmp_path, only, held, pods=["web", "other"])


def test_an_ephemeral_volume_is_the_pods_own(tmp_path):
    wanted = {"name": "v", "ephemeral": {}}
    foreign = claim("web-v", volume="v", bound=True)
    with pytest.raises(VolumeProblem, match="PVC shop/web-v was not created for pod shop/web"):
        show(tmp_path, foreign, wanted=wanted)


def test_a_device_is_not_mounted_and_a_file_system_is_no_device(tmp_path):
    uses = [{"name": "c", "volumeDevices": [{"name": "v", "devicePath": "/dev/x"}]}]
    with pytest.raises(VolumeProblem, match="has volumeMode Filesystem, but is specified in volumeDevices"):
        show(tmp_path, BOUND, volume(claimed=BOUND, source=path(tmp_path)), containers=uses)


def test_everything_is_given_to_the_group_and_symlinks_are_not_followed(tmp_path):
    (tmp_path / "v" / "deep").mkdir(parents=True)
    (tmp_path / "v" / "deep" / "file").touch(mode=0o600)
    (tmp_path / "outside").touch(mode=0o600)
    (tmp_path / "v" / "link").symlink_to(tmp_path / "outside")
    ownership.give(tmp_path / "v", 4000, only_on_mismatch=False, read_only=False)
    assert (tmp_path / "v" / "deep" / "file").stat().st_mode & 0o777 == 0o660
    assert stat.S_IMODE((tmp_path / "v" / "deep").stat().st_mode) & 0o2770 == 0o2770
    assert (tmp_path / "outside").stat().st_gid == os.getgid() and os.lstat(tmp_path / "v" / "link").st_gid == 4000


def test_a_root_that_fits_spares_the_walk_where_the_pod_says_so(tmp_path):
    ownership.give(tmp_path, 4000, only_on_mismatch=True, read_only=False)
    (tmp_path / "later").touch(mode=0o600)
    os.chown(tmp_path / "later", -1, 5)
    ownership.give(tmp_path, 4000, only_on_mismatch=True, read_only=False)
    assert (tmp_path / "later").stat().st_gid == 5
    context = Context(a_pod("p", securityContext={"fsGroup": 1}), None, settings(tmp_path), Sources(), lambda: 0.0)
    assert giver(context, read_only=True).keywords == {"group": 1, "only_on_mismatch": False, "read_only": True}


def test_the_data_go_when_nobody_but_the_node_holds_the_volume():
    finalizers = [storage.LOCAL_PATH]
    assert awaits_removal(volume(finalizers=finalizers))
    assert not awaits_removal(volume(finalizers=[*finalizers, storage.VOLUME_PROTECTION]))
    assert not awaits_removal(volume(finalizers=[]))


def test_a_claim_says_what_it_has_grown_to_and_stops_waiting():
    waiting = claim(volume="v", bound=True)
    waiting["status"]["conditions"] = [{"type": "FileSystemResizePending"}, {"type": "Other"}]
    change = grown_status(waiting, volume(size="2Gi"))
    assert change["capacity"] == {"storage": "2Gi"} and change["conditions"] == [{"type": "Other"}]
    assert grown_status(BOUND, volume()) is None and disk_of(volume(mode="Block")).is_block
