"""
NodeRestriction: a node agent writes its own Node and the status of the pods on it, and nothing about itself that
schedulers or administrators decide. Texts are Kubernetes' own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api.references import ACCOUNTS, references_of
from tiphys.api.storage import LOCAL_PATH
from tiphys.apiserver.admission.chain import CREATE, DELETE, UPDATE, Plugin, forbidden
from tiphys.apiserver.admission.service_account import MIRROR
from tiphys.apiserver.authn.groups import node_of
from tiphys.apiserver.authz.attributes import quoted
from tiphys.apiserver.call import Attributes, Object, Reader

LEASE_NAMESPACE = "kube-node-lease"
RESTRICTED_DOMAIN = "node-restriction.kubernetes.io"
# Labels of Kubernetes' own domains that an agent may set on its node, and domains in which it may set all.
_LABELS = frozenset(
    (
        "kubernetes.io/hostname", "kubernetes.io/arch", "kubernetes.io/os", "beta.kubernetes.io/arch",
        "beta.kubernetes.io/os", "beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type",
        "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
        "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
    )
)  # fmt: skip
_LABEL_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
_NAMED_LIKE_THE_NODE = {
    ("storage.k8s.io", "csinodes"): ("CSINode", "the CSINode"),
    ("coordination.k8s.io", "leases"): ("Lease", "the lease"),
}


def plugin(reader: Reader) -> Plugin:
    """Concerns writes of node agents only."""

    def mutate(attributes: Attributes) -> None:
        node = node_of(attributes.user)
        if not node:
            return
        kind = (attributes.resource.group, attributes.resource.name)
        if kind == ("", "pods"):
            _check_pod(reader, attributes, node)
        elif kind == ("", "pods/status"):
            _check_pod_status(attributes, node)
        elif kind == ("", "pods/eviction"):
            _check_on_node(attributes, reader.get("", "pods", attributes.namespace, attributes.name), node, "evict")
        elif kind in (("", "nodes"), ("", "nodes/status")):
            _check_node(attributes, node)
        elif kind in _NAMED_LIKE_THE_NODE:
            _check_name(attributes, node)
        elif kind == ("", "persistentvolumes"):
            _check_volume(attributes, node)

    return Plugin("NodeRestriction", _concerns, mutate)


def _concerns(operation: str, group: str, resource: str) -> bool:
    core = resource in ("pods", "pods/status", "pods/eviction", "nodes", "nodes/status", "persistentvolumes")
    return (not group and core) or (group, resource) in _NAMED_LIKE_THE_NODE


def _check_pod(reader: Reader, attributes: Attributes, node: str) -> None:
    if attributes.operation == DELETE:
        _check_on_node(attributes, attributes.old, node, "delete")
        return
    pod = attributes.object
    if attributes.operation != CREATE or pod is None:
        why = (
            f"unexpected operation {quoted(attributes.operation)}, {_who(node)} can only create and delete mirror pods"
        )
        raise forbidden(attributes, why)
    if MIRROR not in (pod["metadata"].get("annotations") or {}):
        why = f"pod does not have {quoted(MIRROR)} annotation, {_who(node)} can only create mirror pods"
        raise forbidden(attributes, why)
    if pod["spec"].get("nodeName") != node:
        raise forbidden(attributes, f"{_who(node)} can only create pods with spec.nodeName set to itself")
    _check_mirror(attributes, pod, node)
    owners = pod["metadata"].get("ownerReferences") or []
    if len(owners) > 1 or any(owner.get("kind") != "Node" or owner.get("name") != node for owner in owners):
        why = f"{_who(node)} can only create pods with an owner reference set to itself"
        raise forbidden(attributes, why)
    own = reader.get("", "nodes", "", node)
    if owners and (own is None or owners[0].get("uid") != own["metadata"]["uid"]):
        raise forbidden(attributes, f"{_who(node)} can only create pods with an owner reference set to itself")


def _check_mirror(attributes: Attributes, pod: Object, node: str) -> None:
    named = {plural for plural, _ in references_of(pod)}
    if ACCOUNTS in named:
        raise forbidden(attributes, f"{_who(node)} can not create pods that reference a service account")
    for plural in ("secrets", "configmaps", "persistentvolumeclaims"):
        if plural in named:
            raise forbidden(attributes, f"{_who(node)} can not create pods that reference {plural}")


def _check_on_node(attributes: Attributes, pod: Object | None, node: str, verb: str) -> None:
    if pod is not None and pod["spec"].get("nodeName") != node:
        raise forbidden(attributes, f"{_who(node)} can only {verb} pods with spec.nodeName set to itself")


def _check_pod_status(attributes: Attributes, node: str) -> None:
    old, new = attributes.old, attributes.object
    if attributes.operation != UPDATE or old is None or new is None:
        raise forbidden(attributes, f"unexpected operation {quoted(attributes.operation)}")
    if old["spec"].get("nodeName") != node:
        raise forbidden(
            attributes, f"{_who(node)} can only update pod status for pods with spec.nodeName set to itself"
        )
    if (new["metadata"].get("labels") or {}) != (old["metadata"].get("labels") or {}):
        raise forbidden(attributes, f"{_who(node)} cannot update labels through pod status")


def _check_node(attributes: Attributes, node: str) -> None:
    wanted = attributes.name
    if wanted != node:
        raise forbidden(attributes, f"{_who(node)} is not allowed to modify node {quoted(wanted)}")
    new, old = attributes.object, attributes.old
    if new is None:
        return
    if attributes.operation == CREATE:
        if (new.get("spec") or {}).get("configSource"):
            raise forbidden(attributes, f"{_who(node)} is not allowed to create pods with a non-nil configSource")
        refused = _refused_labels(new["metadata"].get("labels") or {})
        if refused:
            shown = ", ".join(refused)
            raise forbidden(attributes, f"{_who(node)} is not allowed to set the following labels: {shown}")
        return
    if old is None:
        return
    if (old.get("spec") or {}).get("taints") != (new.get("spec") or {}).get("taints"):
        raise forbidden(attributes, f"{_who(node)} is not allowed to modify taints")
    if (old["metadata"].get("ownerReferences") or []) != (new["metadata"].get("ownerReferences") or []):
        raise forbidden(attributes, f"{_who(node)} is not allowed to modify ownerReferences")
    changed = _refused_labels(_changed(old["metadata"].get("labels") or {}, new["metadata"].get("labels") or {}))
    if changed:
        raise forbidden(attributes, f"is not allowed to modify labels: {', '.join(changed)}")


def _check_name(attributes: Attributes, node: str) -> None:
    if attributes.resource.name == "leases" and attributes.namespace != LEASE_NAMESPACE:
        why = f"can only access leases in the {quoted(LEASE_NAMESPACE)} system namespace"
        raise forbidden(attributes, why)
    if attributes.name != node:
        what = _NAMED_LIKE_THE_NODE[(attributes.resource.group, attributes.resource.name)][0]
        why = f"can only access {'node lease' if what == 'Lease' else what} with the same name as the requesting node"
        raise forbidden(attributes, why)


def _check_volume(attributes: Attributes, node: str) -> None:
    """An agent says of a volume whose data lay with it that they are gone, and nothing else."""
    old, new = attributes.old, attributes.object
    if attributes.operation != UPDATE or old is None or new is None:
        raise forbidden(attributes, f"unexpected operation {quoted(attributes.operation)}")
    kept = [name for name in old["metadata"].get("finalizers") or () if name != LOCAL_PATH]
    same = _without_finalizers(old) == _without_finalizers(new)
    if not same or (new["metadata"].get("finalizers") or []) != kept:
        why = f"{_who(node)} can only remove the finalizer {quoted(LOCAL_PATH)} from a persistent volume"
        raise forbidden(attributes, why)


def _without_finalizers(volume: Object) -> Object:
    left = ("finalizers", "managedFields", "resourceVersion")
    metadata = {name: value for name, value in volume["metadata"].items() if name not in left}
    return {**volume, "metadata": metadata}


def _who(node: str) -> str:
    return f"node {quoted(node)}"


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None for name in {*old, *new} if old.get(name) != new.get(name)}


def _refused_labels(labels: Mapping[str, Any]) -> list[str]:
    """Labels that administrators restrict, and those of Kubernetes' own domains that agents have no business with."""
    return sorted(name for name in labels if _is_refused(name))


def _is_refused(label: str) -> bool:
    domain, separator, _ = label.partition("/")
    if not separator or label in _LABELS:
        return False
    if _is_in(domain, RESTRICTED_DOMAIN):
        return True
    if any(_is_in(domain, allowed) for allowed in _LABEL_DOMAINS):
        return False
    return _is_in(domain, "kubernetes.io") or _is_in(domain, "k8s.io")


def _is_in(domain: str, parent: str) -> bool:
    return domain == parent or domain.endswith("." + parent)
