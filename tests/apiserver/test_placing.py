"""A new pod is bound in its bytes: the outcome is what decoding, changing and encoding it would give."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tiphys.apiserver.records import Record, encode
from tiphys.apiserver.subresources.placing import placed

UID = "0b8bcd3e-9ad0-4b0a-8b0a-0123456789ab"


def record(*, spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None, **metadata: Any) -> Record:
    held = {"name": "a", "namespace": "shop", "uid": UID, "generation": 3, "creationTimestamp": "2026-01-01T00:00:00Z"}
    pod = {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": held | metadata,
        "spec": {"containers": [{"name": "c"}]} | (spec or {}),
        "status": status or {"phase": "Pending", "qosClass": "Burstable"},
    }
    return Record("/registry/pods/shop/a", encode(pod), 7)


@pytest.mark.parametrize(
    "metadata", [{}, {"annotations": {"x": '"nodeName" },"status":{"phase":"Pending","qosClass":"Burstable"}}'}}]
)
def test_the_bytes_are_those_of_the_changed_object(metadata):
    held = record(**metadata)
    pod = held.decode()
    pod["spec"]["nodeName"] = 'n"1'
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None}
    scheduled |= {"lastTransitionTime": "1970-01-01T00:00:00Z", "observedGeneration": 3}
    pod["status"]["conditions"] = [scheduled]
    assert placed(held, UID, 'n"1', 0.0) == encode(pod)


@pytest.mark.parametrize(
    "other",
    [
        {"spec": {"nodeName": "n2"}},
        {"spec": {"schedulingGates": [{"name": "wait"}]}},
        {"status": {"phase": "Pending", "qosClass": "Burstable", "conditions": []}},
        {"status": {"phase": "Failed", "qosClass": "Burstable"}},
        {"deletionTimestamp": "2026-01-01T00:00:00Z"},
        {"uid": UID.replace("0", "1")},
    ],
)
def test_any_other_pod_is_looked_at_closer(other):
    assert placed(record(**other), UID, "n1", 0.0) is None


def test_a_pod_that_no_uid_was_said_of_may_be_any():
    value = placed(record(), "", "n1", 0.0)
    assert value is not None and orjson.loads(value)["spec"]["nodeName"] == "n1"
