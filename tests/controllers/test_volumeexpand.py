"""A claim that asks for more: the volume grows, the node is waited for."""

import pytest

from storage_builders import claim, storage_class, volume
from tiphys.api.storage import LOCAL_PATH, PROVISIONED_BY
from tiphys.controllers.volumeexpand.plan import CLAIMS, VOLUMES, plan
from tiphys.reconcile.commands import Patch, Say

LOCAL = {"annotations": {PROVISIONED_BY: LOCAL_PATH}}


def asking(size="2Gi", **status):
    made = claim(volume="v", bound=True)
    made["spec"]["resources"]["requests"]["storage"] = size
    made["status"] |= status
    return made


def planned(wanted, held, allowed=None):
    return plan(wanted, held, allowed or storage_class(), 0.0)


def test_settled_means_no_commands():
    assert planned(asking("1Gi"), volume(claimed=asking(), **LOCAL)) == []
    waiting = {"conditions": [{"type": "FileSystemResizePending"}], "allocatedResources": {"storage": "2Gi"}}
    assert planned(asking(**waiting), volume(size="2Gi", claimed=asking(), **LOCAL)) == []


def test_the_claim_waits_for_its_node_and_the_volume_gets_the_new_size():
    status, told, spec = planned(asking(), volume(claimed=asking(), **LOCAL))
    assert isinstance(status, Patch) and (status.resource, status.subresource) == (CLAIMS, "status")
    assert status.patch["status"]["allocatedResourceStatuses"] == {"storage": "NodeResizePending"}
    assert spec.resource == VOLUMES and spec.patch["spec"] == {"capacity": {"storage": "2Gi"}}
    assert isinstance(told, Say) and told.reason == "FileSystemResizeRequired"


@pytest.mark.parametrize("other", [None, {**storage_class(), "allowVolumeExpansion": False}])
def test_a_class_that_forbids_it_is_obeyed(other):
    held = volume(claimed=asking(), **LOCAL)
    assert plan(asking(), held, other, 0.0) == []


def test_other_drivers_are_waited_for():
    foreign = volume(claimed=asking(), annotations={PROVISIONED_BY: "csi.example.com"}, source={"csi": {}})
    (told,) = planned(asking(), foreign)
    assert (told.reason, told.type) == ("ExternalExpanding", "Normal")
