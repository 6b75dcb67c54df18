"""
TiphysAnnotations: what workloads say under `tiphys.io/` is understood or refused, and pods with dependencies wait.

A pod whose own annotation, or that of the workload that it is made for, names dependencies is born with a scheduling
gate; the controller of dependencies lifts it. Here is the only place where nobody who makes pods can forget the gate.
"""

from __future__ import annotations

from typing import Any

from tiphys.api import errors, own_annotations
from tiphys.api.objects import annotations_of, controller_of
from tiphys.api.own_annotations import DEPENDENCIES_GATE, DEPENDS_ON, PREFIX
from tiphys.apiserver.admission.chain import CREATE, UPDATE, Plugin, on
from tiphys.apiserver.admission.service_account import is_mirror
from tiphys.apiserver.call import Attributes, Object, Reader

_PODS = ("", "pods")
_WORKLOADS = (
    _PODS, ("", "replicationcontrollers"), ("apps", "deployments"), ("apps", "statefulsets"), ("apps", "daemonsets"),
    ("apps", "replicasets"), ("batch", "jobs"), ("batch", "cronjobs"),
)  # fmt: skip
# Kinds of owners by which a pod's workload is found.
_OWNERS = {
    "ReplicaSet": ("apps", "replicasets"),
    "Deployment": ("apps", "deployments"),
    "StatefulSet": ("apps", "statefulsets"),
    "DaemonSet": ("apps", "daemonsets"),
    "Job": ("batch", "jobs"),
    "ReplicationController": ("", "replicationcontrollers"),
}
# A pod, its ReplicaSet, its Deployment: a chain of owners that is longer leads nowhere.
_OWNERS_MAX = 3


def plugin(reader: Reader) -> Plugin:
    """Pods at creation, and the annotations of all workloads."""

    def mutate(attributes: Attributes) -> None:
        pod = attributes.object
        concerned = attributes.operation == CREATE and (attributes.resource.group, attributes.resource.name) == _PODS
        if pod is None or not concerned or pod["spec"].get("nodeName") or is_mirror(pod):
            return
        said = annotations_of(pod).get(DEPENDS_ON) or _of_workload(reader, pod, attributes.namespace)
        if said:
            gate(pod, said)

    return Plugin("TiphysAnnotations", on((CREATE, UPDATE), *_WORKLOADS), mutate, validate)


def gate(pod: Object, said: str) -> None:
    """The pod waits for what `said` names (in place)."""
    metadata, spec = pod["metadata"], pod["spec"]
    metadata["annotations"] = {**(metadata.get("annotations") or {}), DEPENDS_ON: said}
    gates = spec.get("schedulingGates") or []
    if not any(one.get("name") == DEPENDENCIES_GATE for one in gates):
        spec["schedulingGates"] = [*gates, {"name": DEPENDENCIES_GATE}]


def validate(attributes: Attributes) -> None:
    """422 for an annotation that means nothing; what was there before may stay."""
    obj, old = attributes.object, attributes.old
    if obj is None:
        return
    said = _own(obj)
    if not said or (old is not None and _own(old) == said):
        return
    found = [f"metadata.annotations: Invalid value: {text}" for text in own_annotations.complaints(said)]
    if found:
        causes = [{"reason": "FieldValueInvalid", "message": text, "field": "metadata.annotations"} for text in found]
        resource = attributes.resource
        raise errors.invalid(resource.kind, resource.group, attributes.name, found, causes)


def _own(obj: Object) -> dict[str, str]:
    return {key: value for key, value in annotations_of(obj).items() if key.startswith(PREFIX)}


def _of_workload(reader: Reader, pod: Object, namespace: str) -> str:
    """What the topmost owner says: a ReplicaSet has a copy of what its Deployment said once."""
    found: Any = pod
    for _ in range(_OWNERS_MAX):
        owner = controller_of(found)
        place = _OWNERS.get(owner["kind"]) if owner is not None else None
        above = reader.get(*place, namespace, owner["name"]) if owner is not None and place is not None else None
        if above is None or owner is None or above["metadata"].get("uid") != owner["uid"]:
            break
        found = above
    return annotations_of(found).get(DEPENDS_ON, "")
