"""Who owns what of a kind that has several versions: each entry is meant in its own."""

import pytest

from tiphys.api import resources, schema
from tiphys.api.convert import convert
from tiphys.api.ownership.applying import ApplyConflict, apply
from tiphys.api.ownership.recording import Writer, record_update

V1, V2 = (resources.get("autoscaling", version, "horizontalpodautoscalers") for version in ("v1", "v2"))
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}


def written_by(name, resource):
    return Writer(name, resource.api_version, "2027-01-15T08:00:00Z")


def message_of(resource):
    return schema.message_of(resource.group, resource.version, resource.kind)


def autoscaler(resource, **spec):
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": "h"}, "spec": spec}


def cpu(share):
    target = {"type": "Utilization", "averageUtilization": share}
    return [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]


def applied(live, resource, name, *, force=False, **spec):
    held = convert(live, resource) if live is not None else None
    return apply(held, autoscaler(resource, **spec), message_of(resource), written_by(name, resource), force=force)


def owners(obj):
    return {entry["manager"]: entry["fieldsV1"]["f:spec"] for entry in obj["metadata"]["managedFields"]}


def test_an_update_in_one_version_takes_what_is_meant_in_the_other():
    old = autoscaler(V1, scaleTargetRef=TARGET, maxReplicas=3, targetCPUUtilizationPercentage=70)
    record_update(None, old, message_of(V1), written_by("one", V1))
    held = convert(old, V2)
    new = {**held, "metadata": dict(held["metadata"]), "spec": {**held["spec"], "metrics": cpu(50)}}
    record_update(held, new, message_of(V2), written_by("two", V2))
    assert owners(new) == {"one": {"f:maxReplicas": {}, "f:scaleTargetRef": {}}, "two": {"f:metrics": {}}}


def test_an_apply_in_one_version_conflicts_with_what_is_meant_in_the_other():
    live = applied(None, V2, "two", maxReplicas=3, metrics=cpu(50))
    with pytest.raises(ApplyConflict) as caught:
        applied(live, V1, "one", maxReplicas=3, targetCPUUtilizationPercentage=80)
    assert caught.value.conflicts == [('"two"', ".spec.metrics")]


def test_by_force_it_takes_it():
    live = applied(None, V2, "two", maxReplicas=3, metrics=cpu(50))
    taken = applied(live, V1, "one", force=True, maxReplicas=3, targetCPUUtilizationPercentage=80)
    assert owners(taken) == {
        "two": {"f:maxReplicas": {}},
        "one": {"f:maxReplicas": {}, "f:targetCPUUtilizationPercentage": {}},
    }


def test_who_applies_in_another_version_than_before_loses_what_it_names_no_more():
    live = applied(None, V2, "me", scaleTargetRef=TARGET, minReplicas=2, maxReplicas=3, metrics=cpu(50))
    left = applied(live, V1, "me", scaleTargetRef=TARGET, maxReplicas=3)
    assert left["spec"] == {"scaleTargetRef": TARGET, "maxReplicas": 3}
    assert sorted(owners(left)["me"]) == ["f:maxReplicas", "f:scaleTargetRef"]
