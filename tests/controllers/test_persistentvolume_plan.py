"""Claims find volumes, volumes find their end; a bond is never given to anybody else."""

import pytest

from builders import node
from storage_builders import claim, storage_class, volume
from tiphys.api import storage
from tiphys.controllers.persistentvolume import claims, volumes
from tiphys.controllers.persistentvolume.claims import CLAIMS, VOLUMES, Facts
from tiphys.reconcile.commands import Create, Delete, Say, Update

HERE = {storage.SELECTED_NODE: "n1"}


def said(commands):
    return [(one.reason, one.message) for one in commands if isinstance(one, Say)]


def written(commands, resource, subresource=""):
    """The one object of that resource that is written."""
    found = [
        c.object for c in commands if isinstance(c, Update) and (c.resource, c.subresource) == (resource, subresource)
    ]
    assert len(found) == 1, commands
    return found[0]


def storing_node():
    made = node("n1")
    made["metadata"]["annotations"] = {storage.LOCAL_PATH: "/data/volumes"}
    return made


def delayed(**facts):
    return Facts(storage_class=storage_class(), **facts)


def test_settled_means_no_commands():
    bound = claim(volume="v", bound=True)
    held = volume(claimed=bound, phase="Bound")
    assert claims.plan(bound, Facts(named=held)) == [] == volumes.plan(held, bound)
    assert volumes.plan(volume(), None) == [] == volumes.plan(volume(claimed=bound, phase="Released"), None)


def test_a_claim_takes_the_smallest_volume_that_fits():
    offered = [volume("large", size="9Gi"), volume("small", size="500Mi"), volume("right", size="2Gi")]
    commands = claims.plan(claim(), Facts(volumes=offered))
    assert written(commands, CLAIMS)["spec"]["volumeName"] == "right"
    reserved = written(commands, VOLUMES)
    assert reserved["spec"]["claimRef"]["uid"] == "uid-data"
    assert reserved["metadata"]["annotations"] == {storage.BOUND_BY_CONTROLLER: "yes"}


@pytest.mark.parametrize(
    "unfit",
    [
        volume(modes=("ReadOnlyMany",)), volume(cls="fast"), volume(mode="Block"), volume(phase="Released"),
        volume(deleting=True), volume(claimed=claim("other")), volume(size="1023Mi"),
    ],
)  # fmt: skip
def test_a_volume_of_another_sort_is_not_taken(unfit):
    assert storage.best_match(claim(), [unfit]) is None


def test_a_selector_chooses_by_labels():
    wanted = claim()
    wanted["spec"]["selector"] = {"matchLabels": {"tier": "gold"}}
    assert storage.best_match(wanted, [volume(), volume("g", labels={"tier": "gold"})])["metadata"]["name"] == "g"


def test_a_reserved_volume_is_taken_before_a_smaller_one():
    reserved = volume("mine", size="5Gi", claimed=claim())
    assert claims.plan(claim(), Facts(volumes=[volume(), reserved]))[0].object["spec"]["volumeName"] == "mine"


def test_a_claim_that_names_a_volume_gets_it_or_learns_why_not():
    asking = claim(volume="v")
    assert written(claims.plan(asking, Facts(named=volume())), CLAIMS)["metadata"]["annotations"] == {
        storage.BIND_COMPLETED: "yes"
    }
    small = claims.plan(asking, Facts(named=volume(size="1Mi")))
    assert said(small) == [("VolumeMismatch", 'Cannot bind to requested volume "v": requested PV is too small')]
    taken = claims.plan(asking, Facts(named=volume(claimed=claim("other"))))
    assert said(taken) == [("FailedBinding", 'volume "v" already bound to a different claim.')]


def test_without_class_and_volume_the_claim_says_what_is_missing():
    text = "no persistent volumes available for this claim and no storage class is set"
    assert said(claims.plan(claim(), Facts())) == [("FailedBinding", text)]


def test_a_claim_without_class_gets_a_default_that_came_later():
    commands = claims.plan(claim(cls=None), Facts(default="local-path"))
    assert written(commands, CLAIMS)["spec"]["storageClassName"] == "local-path"
    assert said(claims.plan(claim(cls=""), Facts(default="local-path")))[0][0] == "FailedBinding"


def test_a_delayed_claim_waits_for_its_pod():
    waiting = claim(cls="local-path")
    text = "waiting for first consumer to be created before binding"
    assert claims.plan(waiting, delayed()) == [Say(waiting, "Normal", "WaitForFirstConsumer", text)]
    pods = claims.plan(waiting, delayed(waiting_pods=["b", "a"]))
    assert said(pods) == [("WaitForPodScheduled", "waiting for pods a,b to be scheduled")]


def test_a_volume_is_made_on_the_selected_node_for_that_claim_alone():
    chosen = claim(cls="local-path", annotations=HERE)
    (made,) = claims.plan(chosen, delayed(node=storing_node(), volumes=[volume(cls="local-path")]))
    assert isinstance(made, Create) and made.announce.reason == "ProvisioningSucceeded"
    spec, meta = made.object["spec"], made.object["metadata"]
    assert (spec["capacity"]["storage"], spec["local"]["path"]) == ("1Gi", "/data/volumes/pvc-uid-data/disk/data")
    assert spec["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]["values"] == ["n1"]
    assert storage.is_of(made.object, chosen) and meta["finalizers"] == [storage.LOCAL_PATH]
    assert meta["labels"] == {storage.NODE_LABEL: "n1"} and spec["persistentVolumeReclaimPolicy"] == "Delete"


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"modes": ("ReadWriteMany",)}, "invalid AccessModes [ReadWriteMany]"),
        ({"annotations": {}}, "volumeBindingMode of the class must be WaitForFirstConsumer"),
    ],
)
def test_what_local_path_does_not_promise_is_refused(asked, text):
    wanted = claim(**{"cls": "local-path", "annotations": HERE, **asked})
    on = storing_node() if storage.SELECTED_NODE in wanted["metadata"]["annotations"] else None
    commands = claims.plan(wanted, Facts(storage_class=storage_class(mode="Immediate"), node=on))
    assert text in said(commands)[0][1] and len(commands) == 1


def test_a_parameter_that_local_path_does_not_know_is_refused():
    odd = {**storage_class(), "parameters": {"fsType": "xfs"}}
    facts = Facts(storage_class=odd, node=storing_node())
    ((reason, text),) = said(claims.plan(claim(cls="local-path", annotations=HERE), facts))
    assert reason == "ProvisioningFailed" and 'invalid option "fsType"' in text


def test_a_selected_node_that_is_gone_is_chosen_anew():
    commands = claims.plan(claim(cls="local-path", annotations=HERE), delayed())
    assert written(commands, CLAIMS)["metadata"]["annotations"] == {}
    assert said(commands) == [("ProvisioningFailed", 'failed to get target node: nodes "n1" not found')]


def test_an_external_provisioner_is_told_by_annotation_and_waited_for():
    facts = Facts(storage_class=storage_class(provisioner="csi.example.com", mode="Immediate"))
    commands = claims.plan(claim(cls="x"), facts)
    marked = written(commands, CLAIMS)
    assert marked["metadata"]["annotations"][storage.PROVISIONER] == "csi.example.com"
    again = claims.plan(marked, facts)
    assert [reason for reason, _ in said(again)] == ["ExternalProvisioning"] and len(again) == 1


def test_both_sides_are_marked_bound_with_what_the_volume_offers():
    fresh = claim(volume="v", bound=True, phase="Pending")
    held = volume(size="2Gi", claimed=fresh, phase="Available")
    status = written(claims.plan(fresh, Facts(named=held)), CLAIMS, "status")["status"]
    assert (status["phase"], status["capacity"]) == ("Bound", {"storage": "2Gi"})
    assert written(volumes.plan(held, fresh), VOLUMES, "status")["status"]["phase"] == "Bound"


def test_a_larger_volume_does_not_change_the_size_of_a_bound_claim():
    bound = claim(volume="v", bound=True)
    assert claims.plan(bound, Facts(named=volume(size="9Gi", claimed=bound))) == []


@pytest.mark.parametrize(("named", "reason"), [(None, "ClaimLost"), (volume(claimed=claim("other")), "ClaimMisbound")])
def test_a_bound_claim_without_its_volume_is_lost(named, reason):
    commands = claims.plan(claim(volume="v", bound=True), Facts(named=named))
    assert written(commands, CLAIMS, "status")["status"] == {"phase": "Lost"} and said(commands)[0][0] == reason
    assert claims.plan(claim(volume="v", bound=True, phase="Lost"), Facts(named=named)) == []


def test_a_volume_whose_claim_is_gone_is_released_and_then_reclaimed():
    local = {"annotations": {storage.PROVISIONED_BY: storage.LOCAL_PATH}, "policy": "Delete"}
    left = volume(claimed=claim(), phase="Bound", **local)
    assert written(volumes.plan(left, None), VOLUMES, "status")["status"] == {"phase": "Released"}
    released = volume(claimed=claim(), phase="Released", **local)
    assert volumes.plan(released, None) == [Delete(VOLUMES, ("", "v"), "uid-v")]
    assert volumes.plan(volume(claimed=claim(), phase="Released", deleting=True, **local), None) == []


def test_another_claim_of_the_same_name_is_not_the_one_that_was_bound():
    other = claim(uid="later")
    assert written(volumes.plan(volume(claimed=claim(), phase="Bound"), other), VOLUMES, "status")["status"] == {
        "phase": "Released"
    }


@pytest.mark.parametrize(
    ("policy", "source", "reason", "text"),
    [
        ("Recycle", {"nfs": {}}, "VolumeFailedRecycle", "No recycler plugin found for the volume!"),
        ("Delete", {"nfs": {}}, "VolumeFailedDelete", "no deletable volume plugin matched"),
        ("Delete", {"hostPath": {"path": "/mnt"}}, "VolumeFailedDelete", "host_path deleter only supports /tmp/.+"),
    ],
)
def test_what_cannot_be_reclaimed_has_failed(policy, source, reason, text):
    left = volume(claimed=claim(), phase="Released", policy=policy, source=source)
    commands = volumes.plan(left, None)
    assert said(commands)[0][0] == reason and text in said(commands)[0][1]
    assert volumes.plan(written(commands, VOLUMES, "status"), None) == []


def test_a_volume_that_the_claim_did_not_take_is_free_again():
    elsewhere = claim(volume="w", bound=True)
    ours = volume(claimed=elsewhere, annotations={storage.BOUND_BY_CONTROLLER: "yes"})
    assert "claimRef" not in written(volumes.plan(ours, elsewhere), VOLUMES)["spec"]
    theirs = written(volumes.plan(volume(claimed=elsewhere), elsewhere), VOLUMES)
    assert theirs["spec"]["claimRef"] == {"namespace": "shop", "name": "data"}


def test_data_of_a_node_that_is_gone_are_given_up():
    going = volume(claimed=claim(), phase="Released", deleting=True, finalizers=[storage.LOCAL_PATH])
    assert written(volumes.plan(going, None, node_gone=True), VOLUMES)["metadata"]["finalizers"] == []
    used = volume(claimed=claim(), deleting=True, finalizers=[storage.LOCAL_PATH, storage.VOLUME_PROTECTION])
    assert storage.VOLUME_PROTECTION in used["metadata"]["finalizers"]
    assert not any(isinstance(one, Update) and not one.subresource for one in volumes.plan(used, None, node_gone=True))
