"""What differs between kinds in the generic verbs: who may be created by PUT, who needs a resourceVersion."""

from __future__ import annotations

from tiphys.api.resources import Resource

# PUT of a name that is not there creates it.
_CREATED_BY_UPDATE = frozenset(
    (
        ("", "endpoints"), ("", "events"), ("", "limitranges"), ("", "services"), ("events.k8s.io", "events"),
        ("coordination.k8s.io", "leases"), ("rbac.authorization.k8s.io", "roles"),
        ("rbac.authorization.k8s.io", "rolebindings"), ("rbac.authorization.k8s.io", "clusterroles"),
        ("rbac.authorization.k8s.io", "clusterrolebindings"), ("node.k8s.io", "runtimeclasses"),
    )
)  # fmt: skip
# A PUT must say which version it replaces.
_NEEDS_REVISION = frozenset(
    (
        ("coordination.k8s.io", "leases"), ("policy", "poddisruptionbudgets"),
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
        ("admissionregistration.k8s.io", "mutatingadmissionpolicies"),
        ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"),
        ("apiregistration.k8s.io", "apiservices"), ("apiextensions.k8s.io", "customresourcedefinitions"),
        ("flowcontrol.apiserver.k8s.io", "flowschemas"),
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"),
        ("node.k8s.io", "runtimeclasses"),
    )
)  # fmt: skip


def creates_on_update(resource: Resource) -> bool:
    """Whether PUT may create."""
    return (resource.group, resource.name) in _CREATED_BY_UPDATE


def needs_revision(resource: Resource) -> bool:
    """Whether an update without a resourceVersion is refused."""
    return (resource.group, resource.name.partition("/")[0]) in _NEEDS_REVISION
