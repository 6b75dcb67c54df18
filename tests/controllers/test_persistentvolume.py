"""Claims and volumes find each other on a real API."""

from tiphys.api import resources, storage
from tiphys.controllers.persistentvolume.controller import PersistentVolumeController

CLAIMS = resources.get("", "v1", "persistentvolumeclaims")


async def a_class(plane, name="local-path", **fields):
    given = {"provisioner": storage.LOCAL_PATH, "volumeBindingMode": "WaitForFirstConsumer", **fields}
    return await plane.create("storage.k8s.io/v1", "StorageClass", name, **given)


async def a_claim(plane, name="data", **spec):
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    return await plane.create("v1", "PersistentVolumeClaim", name, spec=wanted)


async def a_volume(plane, name="v", **spec):
    wanted = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "2Gi"}, "hostPath": {"path": "/mnt"}, **spec}
    return await plane.create("v1", "PersistentVolume", name, spec=wanted)


async def a_storing_node(plane):
    made = await plane.node("n1")
    await plane.patch(made, {"metadata": {"annotations": {storage.LOCAL_PATH: "/data/volumes"}}})


async def bound(plane, name="data"):
    async def look():
        found = await plane.get("PersistentVolumeClaim", name)
        return found if found["status"]["phase"] == "Bound" else None

    return await plane.until(look)


async def test_a_claim_is_bound_to_a_volume_that_comes_later(plane):
    await plane.start(PersistentVolumeController)
    await a_claim(plane)
    await plane.settled()
    await a_volume(plane)
    found = await bound(plane)
    assert (found["spec"]["volumeName"], found["status"]["capacity"]) == ("v", {"storage": "2Gi"})
    await plane.settled()
    assert (await plane.get("PersistentVolume", "v"))["status"]["phase"] == "Bound"


async def test_two_claims_never_get_one_volume(plane):
    await a_volume(plane)
    await a_claim(plane, "a")
    await a_claim(plane, "b")
    await plane.start(PersistentVolumeController)
    await plane.settled()
    phases = [one["status"]["phase"] for one in await plane.list("PersistentVolumeClaim")]
    assert sorted(phases) == ["Bound", "Pending"]


async def test_a_default_class_that_comes_later_serves_a_waiting_claim(plane):
    await plane.start(PersistentVolumeController)
    await a_claim(plane)
    await plane.settled()
    made = await a_class(plane)
    await plane.patch(made, {"metadata": {"annotations": {storage.DEFAULT_CLASS[0]: "true"}}})
    await plane.settled()
    assert (await plane.get("PersistentVolumeClaim", "data"))["spec"]["storageClassName"] == "local-path"


async def test_a_selected_node_gets_the_volume_and_a_deleted_claim_takes_it_along(plane):
    await a_class(plane)
    await a_storing_node(plane)
    await plane.start(PersistentVolumeController)
    claim = await a_claim(plane, storageClassName="local-path")
    await plane.patch(claim, {"metadata": {"annotations": {storage.SELECTED_NODE: "n1"}}})
    name = (await bound(plane))["spec"]["volumeName"]
    assert name == f"pvc-{claim['metadata']['uid']}"
    await plane.patch(claim, {"metadata": {"finalizers": []}})
    await plane.delete(claim)
    await plane.settled()
    left = await plane.get("PersistentVolume", name)
    assert left["metadata"]["deletionTimestamp"] and storage.LOCAL_PATH in left["metadata"]["finalizers"]


async def test_a_retained_volume_waits_for_a_person(plane):
    await a_volume(plane)
    await plane.start(PersistentVolumeController)
    claim = await a_claim(plane)
    await bound(plane)
    await plane.delete(claim)
    await plane.settled()
    assert (await plane.get("PersistentVolume", "v"))["status"]["phase"] == "Released"
