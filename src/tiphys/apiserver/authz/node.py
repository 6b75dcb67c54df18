"""
What a node agent may do: its own objects, and what the pods on it refer to.

A node that was broken into must not be able to read all Secrets of the cluster. So Secrets, ConfigMaps, claims, volumes
and tokens are allowed only where a pod bound to this node names them. Which pods are on a node follows the cache; what
a pod names is read when somebody asks and kept with the pod's version. Texts are Kubernetes' own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tiphys.api import references, resources
from tiphys.api.references import Reference
from tiphys.api.storage import NODE_LABEL
from tiphys.apiserver.authz import bootstrap, rules
from tiphys.apiserver.authz.attributes import Access
from tiphys.apiserver.cache import PODS_PREFIX, Cache
from tiphys.apiserver.records import Record
from tiphys.apiserver.watchers import Change

LEASE_NAMESPACE = "kube-node-lease"
_READS = frozenset(("get", "list", "watch"))
_OWN_VERBS = frozenset(("get", "create", "update", "patch", "delete"))
_WRITES = frozenset(("update", "patch"))

# (allowed, reason); a refusal without a reason is for RBAC to explain.
Decision = tuple[bool, str]
YES: Decision = (True, "")
NO: Decision = (False, "")


class NodePods:
    """The pods of each node and what they refer to; `follow` is a listener of the cache."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._loaded = False
        self._pods: dict[str, set[str]] = {}
        self._references: dict[str, tuple[int, frozenset[Reference]]] = {}

    def follow(self, change: Change) -> None:
        """A pod came, moved or went."""
        key = change.record.key
        if not self._loaded or not key.startswith(PODS_PREFIX):
            return
        before = change.previous.node_name if change.previous is not None else ""
        now = "" if change.deleted else change.record.node_name
        if before and before != now:
            self._leave(before, key)
        if now and before != now:
            self._pods.setdefault(now, set()).add(key)

    def has(self, node: str, namespace: str, reference: Reference) -> bool:
        """Whether a pod on the node names it."""
        prefix = f"{PODS_PREFIX}{namespace}/"
        return any(reference in self._of(record) for record in self._on(node) if record.key.startswith(prefix))

    def claims_of(self, node: str) -> Iterable[tuple[str, str]]:
        """(namespace, name) of each volume claim that pods on the node use."""
        for record in self._on(node):
            namespace = record.key[len(PODS_PREFIX) :].partition("/")[0]
            for plural, name in self._of(record):
                if plural == references.CLAIMS:
                    yield namespace, name

    def is_on(self, node: str, namespace: str, name: str) -> bool:
        """Whether the pod is bound to the node."""
        self._load()
        return f"{PODS_PREFIX}{namespace}/{name}" in self._pods.get(node, ())

    def _on(self, node: str) -> Iterable[Record]:
        self._load()
        records = (self._cache.record(key) for key in self._pods.get(node, ()))
        return [record for record in records if record is not None]

    def _of(self, record: Record) -> frozenset[Reference]:
        kept = self._references.get(record.key)
        if kept is None or kept[0] != record.revision:
            kept = self._references[record.key] = record.revision, references.references_of(record.peek())
        return kept[1]

    def _leave(self, node: str, key: str) -> None:
        self._references.pop(key, None)
        there = self._pods.get(node)
        if there is not None:
            there.discard(key)
            if not there:
                del self._pods[node]

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        for record in self._cache.collection(resources.get("", "v1", "pods")).records:
            if record.node_name:
                self._pods.setdefault(record.node_name, set()).add(record.key)


class NodeAuthorizer:
    """Decides for the users that are node agents."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self.pods = NodePods(cache)
        self._rules = bootstrap.node_rules()
        self._deciders: dict[tuple[str, str], Callable[[str, Access], Decision]] = {
            ("", "secrets"): self._readable,
            ("", "configmaps"): self._readable,
            ("", "persistentvolumeclaims"): self._claim,
            ("", "persistentvolumes"): self._volume,
            ("", "serviceaccounts"): self._token,
            ("", "nodes"): self._node,
            ("", "pods"): self._pod,
            ("resource.k8s.io", "resourceclaims"): self._resource_claim,
            ("storage.k8s.io", "volumeattachments"): self._attachment,
            ("storage.k8s.io", "csinodes"): self._csi_node,
            ("coordination.k8s.io", "leases"): self._lease,
        }

    def decide(self, node: str, access: Access) -> Decision:
        """Whether the node agent may, and why not."""
        if access.is_resource:
            decider = self._deciders.get((access.group, access.resource))
            if decider is not None:
                return decider(node, access)
        return any(rules.allows(rule, access) for rule in self._rules), ""

    def _readable(self, node: str, access: Access) -> Decision:
        if access.verb not in _READS:
            return False, "can only read resources of this type"
        if access.subresource:
            return False, "cannot read subresource"
        if not access.namespace:
            return False, "can only read namespaced object of this type"
        found = self._related(node, access)
        if not found[0] and access.name and access.resource == "secrets" and self._is_a_drivers(node, access):
            return YES
        return found

    def _is_a_drivers(self, node: str, access: Access) -> bool:
        """Whether the driver of a volume that a pod's claim is bound to needs the Secret: of any namespace."""
        for namespace, name in self.pods.claims_of(node):
            claim = self._cache.get("", "persistentvolumeclaims", namespace, name) or {}
            held = (claim.get("spec") or {}).get("volumeName")
            volume = (self._cache.get("", "persistentvolumes", "", held) if held else None) or {}
            if (access.namespace, access.name) in references.secrets_of_volume(volume, namespace, name):
                return True
        return False

    def _related(self, node: str, access: Access) -> Decision:
        if not access.name:
            return False, "No Object name found"
        if self.pods.has(node, access.namespace, (access.resource, access.name)):
            return YES
        return _unrelated(node)

    def _get(self, node: str, access: Access) -> Decision:
        if access.verb != "get":
            return False, "can only get individual resources of this type"
        if access.subresource:
            return False, "cannot get subresource"
        return self._related(node, access)

    def _claim(self, node: str, access: Access) -> Decision:
        if access.subresource != "status":
            return self._get(node, access)
        if access.verb not in ("get", *_WRITES):
            return False, "can only get/update/patch this type"
        return self._related(node, access)

    def _resource_claim(self, node: str, access: Access) -> Decision:
        return self._get(node, access)

    def _volume(self, node: str, access: Access) -> Decision:
        """What pods on the node use, and the volumes whose data lie there, which a label of ours tells."""
        if access.subresource:
            return False, "cannot get subresource"
        if access.verb in ("list", "watch") and access.labels.get(NODE_LABEL) == node:
            return YES
        if access.verb not in ("get", "patch"):
            return False, "can only get individual resources of this type"
        volume = self._cache.get("", "persistentvolumes", "", access.name) or {}
        if ((volume.get("metadata") or {}).get("labels") or {}).get(NODE_LABEL) == node:
            return YES  # admission leaves a patch nothing but the finalizer
        claim = (volume.get("spec") or {}).get("claimRef") or {}
        used = (claim.get("namespace"), claim.get("name")) in set(self.pods.claims_of(node))
        return YES if used and access.verb == "get" else _unrelated(node)

    def _token(self, node: str, access: Access) -> Decision:
        if access.subresource == "token":
            if access.verb != "create":
                return False, "can only create tokens for individual service accounts"
            return self._related(node, access)
        if access.subresource or access.verb != "get":
            return NO
        return self._related(node, access)

    def _node(self, node: str, access: Access) -> Decision:
        if access.subresource == "status":
            return (True, "") if access.verb in _WRITES else NO
        if access.subresource:
            return NO
        if access.verb in ("create", *_WRITES):
            return YES  # admission keeps it to the node's own object
        if access.verb not in _READS:
            return NO
        if access.name == node:
            return YES
        if not access.name:
            return False, f"node '{node}' cannot read all nodes, only its own Node object"
        return False, f"node '{node}' cannot read '{access.name}', only its own Node object"

    def _pod(self, node: str, access: Access) -> Decision:
        if access.subresource == "status":
            return (True, "") if access.verb in _WRITES else NO
        if access.subresource == "eviction":
            return (True, "") if access.verb == "create" else NO
        if access.subresource:
            return NO
        if access.verb == "get":
            return YES if self.pods.is_on(node, access.namespace, access.name) else _unrelated(node)
        if access.verb in ("list", "watch"):
            if access.fields.get("spec.nodeName") == node:
                return YES
            return False, "can only list/watch pods with spec.nodeName field selector"
        return (True, "") if access.verb in ("create", "delete") else NO

    def _attachment(self, node: str, access: Access) -> Decision:
        if access.verb != "get" or access.subresource:
            return False, "can only get individual resources of this type"
        attachment = self._cache.get("storage.k8s.io", "volumeattachments", "", access.name)
        is_own = attachment is not None and attachment["spec"].get("nodeName") == node
        return YES if is_own else _unrelated(node)

    def _csi_node(self, node: str, access: Access) -> Decision:
        if access.subresource:
            return False, "cannot authorize CSINode subresources"
        if access.verb not in _OWN_VERBS:
            return False, "can only get, create, update, patch, or delete a CSINode"
        if access.name != node and access.verb != "create":
            return False, "can only access CSINode with the same name as the requesting node"
        return YES

    def _lease(self, node: str, access: Access) -> Decision:
        if access.verb not in _OWN_VERBS:
            return False, "can only get, create, update, patch, or delete a node lease"
        if access.namespace != LEASE_NAMESPACE:
            return False, f'can only access leases in the "{LEASE_NAMESPACE}" system namespace'
        if access.verb != "create" and access.name != node:
            return False, "can only access node lease with the same name as the requesting node"
        return YES


def _unrelated(node: str) -> Decision:
    return False, f"no relationship found between node '{node}' and this object"
