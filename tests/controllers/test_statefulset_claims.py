"""Each pod of a StatefulSet has its claims, which stay, or go with the pod or the set, as the policy says."""

from builders import changed, pod, reference, statefulset
from tiphys.api.objects import name_of
from tiphys.controllers.statefulset import claims as storage
from tiphys.controllers.statefulset.identity import new_pod
from tiphys.controllers.statefulset.plan import REVISION_HASH, Facts, plan
from tiphys.reconcile import history
from tiphys.reconcile.commands import Create, Update

TEMPLATES = [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]


def owner(when_deleted="Retain", when_scaled="Retain", replicas=1, **spec):
    policy = {"whenDeleted": when_deleted, "whenScaled": when_scaled}
    return statefulset(replicas, volumeClaimTemplates=TEMPLATES, persistentVolumeClaimRetentionPolicy=policy, **spec)


def claim(*owners, deleting=False):
    meta = {"name": "data-db-0", "namespace": "shop", "uid": "uid-claim"}
    meta |= {"ownerReferences": list(owners)} if owners else {}
    meta |= {"deletionTimestamp": "2027-01-15T08:00:00Z"} if deleting else {}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta}


def owners_after(statefulset, found, *, condemned=False):
    """The kinds of the owners that the claim of db-0 has then; None when it is left as it is."""
    commands = storage.entrust(statefulset, pod("db-0"), {"data-db-0": found}, condemned=condemned)
    written = [c.object["metadata"]["ownerReferences"] for c in commands if isinstance(c, Update)]
    return [one["kind"] for one in written[0]] if written else None


def test_claims_come_before_their_pods():
    first = plan(owner(podManagementPolicy="Parallel", replicas=2), Facts([], [], {}), 0.0)
    names = [name_of(c.object) for c in first if isinstance(c, Create)]
    assert names[1:] == ["data-db-0", "data-db-1", "db-0", "db-1"]


def test_a_claim_that_is_there_is_used():
    assert storage.missing(owner(), "db-0", {"data-db-0": claim()}) == []


def test_the_pod_mounts_its_claim_in_place_of_a_volume_of_that_name():
    wanted = owner()
    wanted["spec"]["template"]["spec"]["volumes"] = [{"name": "data", "emptyDir": {}}, {"name": "x", "emptyDir": {}}]
    revision = history.record(wanted, [], REVISION_HASH).revision
    volumes = {volume["name"]: volume for volume in new_pod(wanted, revision, 3)["spec"]["volumes"]}
    assert volumes["data"] == {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-3"}}
    assert volumes["x"] == {"name": "x", "emptyDir": {}}


def test_a_claim_belongs_to_the_set_when_it_goes_with_it():
    (created,) = storage.missing(owner("Delete"), "db-0", {})
    assert [one["kind"] for one in created.object["metadata"]["ownerReferences"]] == ["StatefulSet"]
    assert owners_after(owner("Delete"), claim()) == ["StatefulSet"]
    assert owners_after(owner("Delete"), claim(reference(owner()))) is None


def test_a_claim_belongs_to_a_pod_that_is_scaled_away():
    assert owners_after(owner("Retain", "Delete"), claim()) is None
    assert owners_after(owner("Retain", "Delete"), claim(), condemned=True) == ["Pod"]
    assert owners_after(owner("Delete", "Delete"), claim(reference(owner())), condemned=True) == ["Pod"]


def test_a_claim_that_stays_belongs_to_nobody():
    assert owners_after(owner(), claim(reference(owner()))) == []
    assert owners_after(owner(), claim(), condemned=True) is None


def test_a_claim_of_somebody_else_stays_theirs():
    stranger = reference(changed(statefulset(1))) | {"uid": "other", "kind": "Backup", "name": "b"}
    assert owners_after(owner("Delete"), claim(stranger)) is None


def test_a_pod_waits_until_the_claim_of_the_one_before_has_gone():
    former = {"apiVersion": "v1", "kind": "Pod", "name": "db-0", "uid": "former", "controller": True}
    for left in (claim(former), claim(deleting=True)):
        commands = plan(owner(), Facts([], [], {"data-db-0": left}), 0.0)
        assert not [c for c in commands if isinstance(c, Create) and c.object["kind"] == "Pod"]
