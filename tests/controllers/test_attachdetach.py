"""Volumes of drivers are attached where pods use them, and taken away when nobody does."""

import pytest

from builders import node, pod
from storage_builders import volume
from tiphys.controllers.attachdetach import plan as decided
from tiphys.controllers.attachdetach.controller import AttachDetachController
from tiphys.controllers.attachdetach.plan import ATTACHMENTS, NODES, Facts, Wanted, attachment_name, plan, unique_name
from tiphys.reconcile.commands import Create, Delete, Patch, Requeue, Say

DISK = volume("disk", source={"csi": {"driver": "csi.example.com", "volumeHandle": "h1"}})
UNIQUE = "kubernetes.io/csi/csi.example.com^h1"
WEB = pod("web")


def on_node(*, ready=True, taints=(), **status):
    made = node("n1", taints=taints)
    made["status"] |= {"conditions": [{"type": "Ready", "status": "True" if ready else "Unknown"}], **status}
    return made


def attachment(**status):
    meta = {"name": attachment_name(DISK, "n1"), "uid": "uid-a"}
    spec = {"attacher": "csi.example.com", "nodeName": "n1", "source": {"persistentVolumeName": "disk"}}
    return {"kind": "VolumeAttachment", "metadata": meta, "spec": spec, "status": status}


def planned(holder, *, wanted=True, held=(), elsewhere="", since=0.0, now=0.0):
    asked = [Wanted(DISK, [WEB], elsewhere)] if wanted else []
    seen = {one["metadata"]["name"]: since for one in held}
    return plan("n1", Facts(holder, asked, held, {"disk": DISK}, seen), now)


def test_settled_means_no_commands():
    told = on_node(volumesAttached=[{"name": UNIQUE, "devicePath": ""}])
    assert planned(told, held=[attachment(attached=True)]) == [] == planned(on_node(), wanted=False)
    assert planned(on_node(), held=[attachment(attached=False)]) == []


def test_a_volume_is_attached_where_a_pod_needs_it():
    (made,) = planned(on_node())
    assert isinstance(made, Create) and made.resource == ATTACHMENTS
    assert made.object["spec"]["source"] == {"persistentVolumeName": "disk"}
    assert unique_name(DISK) == UNIQUE


def test_the_node_is_told_when_it_is_attached():
    patch, told = planned(on_node(), held=[attachment(attached=True)])
    assert isinstance(patch, Patch) and (patch.resource, patch.subresource) == (NODES, "status")
    assert patch.patch["status"]["volumesAttached"] == [{"name": UNIQUE, "devicePath": ""}]
    assert isinstance(told, Say) and told.reason == "SuccessfulAttachVolume"


def test_a_volume_that_is_elsewhere_is_not_attached_twice():
    (told,) = planned(on_node(), elsewhere="n2")
    assert told.reason == "FailedAttachVolume" and told.message.startswith('Multi-Attach error for volume "disk"')


def test_what_the_driver_could_not_do_is_told():
    (told,) = planned(on_node(), held=[attachment(attachError={"message": "no room"})])
    assert told.message == 'AttachVolume.Attach failed for volume "disk" : rpc error: no room'


def test_the_node_stops_using_a_volume_before_it_is_taken_away():
    told = on_node(volumesAttached=[{"name": UNIQUE, "devicePath": ""}], volumesInUse=[UNIQUE])
    (patch,) = planned(told, wanted=False, held=[attachment(attached=True)])
    assert patch.patch["status"] == {"volumesAttached": None}
    assert planned(on_node(volumesInUse=[UNIQUE]), wanted=False, held=[attachment(attached=True)]) == []
    (gone,) = planned(on_node(), wanted=False, held=[attachment(attached=True)])
    assert gone == Delete(ATTACHMENTS, ("", attachment_name(DISK, "n1")), "uid-a")


@pytest.mark.parametrize(("now", "kind"), [(10.0, Requeue), (360.0, Delete)])
def test_a_silent_node_is_waited_for_and_then_not(now, kind):
    silent = on_node(ready=False, volumesInUse=[UNIQUE])
    (only,) = planned(silent, wanted=False, held=[attachment(attached=True)], now=now)
    assert isinstance(only, kind)


def test_a_node_that_is_out_of_service_or_gone_holds_nothing():
    taint = {"key": decided.OUT_OF_SERVICE, "effect": "NoExecute"}
    lost = on_node(ready=False, taints=[taint], volumesInUse=[UNIQUE])
    for holder in (lost, None):
        (gone,) = planned(holder, wanted=False, held=[attachment(attached=True)])
        assert isinstance(gone, Delete)


async def test_a_pod_brings_an_attachment_and_takes_it_along(plane):
    await plane.node("n1")
    source = {"csi": {"driver": "csi.example.com", "volumeHandle": "h1"}}
    common = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
    ref = {"namespace": "shop", "name": "data"}
    await plane.create("v1", "PersistentVolume", "disk", spec={
        **common, **source, "capacity": {"storage": "1Gi"}, "claimRef": ref})  # fmt: skip
    claim = await plane.create("v1", "PersistentVolumeClaim", "data", spec={
        **common, "resources": {"requests": {"storage": "1Gi"}}, "volumeName": "disk"})  # fmt: skip
    await plane.patch(claim, {"metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}})
    await plane.start(AttachDetachController)
    used = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
    containers = [{"name": "c", "image": "i"}]
    web = await plane.create("v1", "Pod", "web", spec={"nodeName": "n1", "containers": containers, "volumes": used})
    version = "storage.k8s.io/v1"
    await plane.until(lambda: plane.names("VolumeAttachment", version))
    (made,) = await plane.list("VolumeAttachment", version)
    await plane.patch(made, {"status": {"attached": True}}, "status")
    await plane.settled()
    assert (await plane.get("Node", "n1"))["status"]["volumesAttached"] == [{"name": UNIQUE, "devicePath": ""}]
    await plane.delete(web, grace_seconds=0)
    await plane.settled()
    assert await plane.names("VolumeAttachment", version) == []
    assert "volumesAttached" not in (await plane.get("Node", "n1"))["status"]
