"""Claims and volumes stay while they are used; claims of ephemeral volumes belong to their pods."""

import pytest

from builders import pod, reference
from storage_builders import claim, volume
from tiphys.api.storage import CLAIM_PROTECTION, VOLUME_PROTECTION
from tiphys.controllers.ephemeralvolume import plan as ephemeral
from tiphys.controllers.pvcprotection import plan as claims
from tiphys.controllers.pvprotection import plan as volumes
from tiphys.reconcile.commands import Create, Say

GOING = {"deletionTimestamp": "2027-01-15T08:00:00Z", "finalizers": [CLAIM_PROTECTION]}


def using(name="web", **more):
    return pod(name, volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}], **more)


def scratch(**more):
    template = {"spec": {"resources": {}}, "metadata": {"labels": {"a": "b"}}}
    return pod("web", volumes=[{"name": "tmp", "ephemeral": {"volumeClaimTemplate": template}}], **more)


def finalizers(commands):
    return [command.object["metadata"]["finalizers"] for command in commands]


def test_settled_means_no_commands():
    kept = claim(finalizers=[CLAIM_PROTECTION])
    assert claims.plan(kept, [using()]) == [] == volumes.plan(volume(finalizers=[VOLUME_PROTECTION]))
    made = claim("web-tmp", ownerReferences=[reference(scratch())])
    assert ephemeral.plan(scratch(), {"web-tmp": made}) == [] == ephemeral.plan(using(), {})


def test_a_claim_stays_until_the_last_pod_on_a_node_is_gone():
    assert claims.plan(claim(**GOING), [using(phase="Succeeded")]) == []
    assert finalizers(claims.plan(claim(**GOING), [using(node=None)])) == [[]]
    assert finalizers(claims.plan(claim(), [])) == [[CLAIM_PROTECTION]]


@pytest.mark.parametrize(("grace", "left"), [(0, [[]]), (30, [])])
def test_a_claim_of_a_pod_that_was_shut_down_goes_with_it(grace, left):
    owner = scratch(deleting=True)
    owner["metadata"]["deletionGracePeriodSeconds"] = grace
    own = claim("web-tmp", ownerReferences=[reference(owner)], **GOING)
    assert finalizers(claims.plan(own, [owner])) == left


def test_a_volume_stays_while_it_is_bound():
    bound = volume(deleting=True, finalizers=[VOLUME_PROTECTION, "other"], phase="Bound")
    assert volumes.plan(bound) == []
    assert finalizers(volumes.plan({**bound, "status": {"phase": "Released"}})) == [["other"]]
    assert finalizers(volumes.plan(volume())) == [[VOLUME_PROTECTION]]


def test_an_ephemeral_volume_gets_a_claim_that_its_pod_owns():
    (made,) = ephemeral.plan(scratch(), {})
    assert isinstance(made, Create) and made.object["metadata"]["name"] == "web-tmp"
    assert made.object["metadata"]["ownerReferences"][0]["uid"] == "uid-web"
    assert made.object["metadata"]["labels"] == {"a": "b"}
    assert ephemeral.plan(scratch(deleting=True), {}) == []


def test_a_claim_of_the_same_name_that_is_somebody_elses_is_told_of():
    (told,) = ephemeral.plan(scratch(), {"web-tmp": claim("web-tmp")})
    assert (
        isinstance(told, Say) and "PVC shop/web-tmp was not created for pod shop/web (pod is not owner)" in told.message
    )
