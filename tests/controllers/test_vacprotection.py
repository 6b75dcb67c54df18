"""A VolumeAttributesClass stays while somebody names it."""

from storage_builders import claim, volume
from tiphys.controllers.vacprotection.controller import VacProtectionController
from tiphys.controllers.vacprotection.plan import PROTECTION, named_by, plan


def fast(**meta):
    return {"metadata": {"name": "fast", **meta}, "driverName": "csi.example.com"}


def naming(**status):
    made = claim()
    made["status"] |= status
    return made


def test_settled_means_no_commands():
    assert plan(fast(finalizers=[PROTECTION]), []) == []
    assert plan(fast(deletionTimestamp="x", finalizers=[]), []) == []


def test_a_class_goes_when_nobody_names_it():
    going = fast(deletionTimestamp="x", finalizers=[PROTECTION, "other"])
    assert plan(going, [naming(currentVolumeAttributesClassName="fast")]) == []
    (command,) = plan(going, [naming(), volume()])
    assert command.object["metadata"]["finalizers"] == ["other"]
    assert plan(fast(), [])[0].object["metadata"]["finalizers"] == [PROTECTION]


def test_a_claim_names_what_it_wants_has_and_becomes():
    changing = naming(modifyVolumeStatus={"targetVolumeAttributesClassName": "c"}, currentVolumeAttributesClassName="b")
    changing["spec"]["volumeAttributesClassName"] = "a"
    assert named_by(changing) == {"a", "b", "c"} and named_by(volume()) == set()


async def test_a_class_outlives_its_last_claim_and_no_longer(plane):
    await plane.start(VacProtectionController)
    version = "storage.k8s.io/v1"
    made = await plane.create(
        version, "VolumeAttributesClass", "fast", driverName="csi.example.com", parameters={"a": "b"}
    )
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    user = await plane.create(
        "v1", "PersistentVolumeClaim", "data", spec={**wanted, "volumeAttributesClassName": "fast"}
    )
    await plane.settled()
    await plane.delete(made)
    await plane.settled()
    assert await plane.names("VolumeAttributesClass", version) == ["fast"]
    await plane.delete(user)
    await plane.settled()
    assert await plane.names("VolumeAttributesClass", version) == []
