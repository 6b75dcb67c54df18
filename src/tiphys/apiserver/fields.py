"""
Field selectors: which fields each kind can be selected by, and how a refused one is told.

Kubernetes words the refusal differently for kinds that list their fields and for all others; both texts are here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tiphys.api import errors
from tiphys.api.resources import Resource
from tiphys.apiserver.call import Object

Extract = Callable[[Object], str]

# (name, is equal, value): what a field selector is made of.
Requirement = tuple[str, bool, str]


def _path(dotted: str, default: str = "") -> Extract:
    steps = dotted.split(".")

    def extract(obj: Object) -> str:
        value: Any = obj
        for step in steps:
            value = value.get(step) if isinstance(value, Mapping) else None
            if value is None:
                return default
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value)

    return extract


def _pod_ips(obj: Object) -> str:
    return (obj.get("status") or {}).get("podIP", "")


def _event_source(obj: Object) -> str:
    return (obj.get("source") or {}).get("component") or obj.get("reportingComponent", "")


_METADATA: dict[str, Extract] = {
    "metadata.name": _path("metadata.name"),
    "metadata.namespace": _path("metadata.namespace"),
}
_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_FIELDS: dict[tuple[str, str], dict[str, Extract]] = {
    ("", "pods"): {
        **_METADATA,
        **{name: _path(name) for name in ("spec.nodeName", "spec.restartPolicy", "spec.schedulerName")},
        **{name: _path(name) for name in ("spec.serviceAccountName", "status.phase", "status.nominatedNodeName")},
        "spec.hostNetwork": _path("spec.hostNetwork", "false"),
        "status.podIP": _pod_ips,
        "status.podIPs": _pod_ips,
    },
    ("", "events"): {
        **_METADATA,
        **{f"involvedObject.{name}": _path(f"involvedObject.{name}") for name in _INVOLVED},
        "reason": _path("reason"),
        "reportingComponent": _path("reportingComponent"),
        "source": _event_source,
        "type": _path("type"),
    },
    ("events.k8s.io", "events"): {
        **_METADATA,
        **{f"regarding.{name}": _path(f"involvedObject.{name}") for name in _INVOLVED},
        "reason": _path("reason"),
        "reportingController": _path("reportingComponent"),
        "type": _path("type"),
    },
    ("", "nodes"): {
        "metadata.name": _path("metadata.name"),
        "spec.unschedulable": _path("spec.unschedulable", "false"),
    },
    ("", "namespaces"): {
        "metadata.name": _path("metadata.name"),
        "name": _path("metadata.name"),
        "status.phase": _path("status.phase"),
    },
    ("", "secrets"): {**_METADATA, "type": _path("type")},
    ("", "services"): {**_METADATA, "spec.clusterIP": _path("spec.clusterIP"), "spec.type": _path("spec.type")},
    ("", "replicationcontrollers"): {**_METADATA, "status.replicas": _path("status.replicas", "0")},
    ("batch", "jobs"): {**_METADATA, "status.successful": _path("status.succeeded", "0")},
    ("certificates.k8s.io", "certificatesigningrequests"): {
        "metadata.name": _path("metadata.name"),
        "spec.signerName": _path("spec.signerName"),
    },
    ("resource.k8s.io", "resourceslices"): {
        "metadata.name": _path("metadata.name"),
        "spec.nodeName": _path("spec.nodeName"),
        "spec.driver": _path("spec.driver"),
    },
}


def compile_fields(resource: Resource, requirements: Sequence[Requirement]) -> Callable[[Object], bool]:
    """A predicate on stored objects; 400 for a field that the kind cannot be selected by."""
    known = _FIELDS.get((resource.group, resource.name), _METADATA)
    checks: list[tuple[Extract, bool, str]] = []
    for name, equal, value in requirements:
        extract = known.get(name)
        if extract is None:
            raise errors.bad_request(_refusal(resource, name))
        checks.append((extract, equal, value))
    return lambda obj: all((extract(obj) == value) is equal for extract, equal, value in checks)


def _refusal(resource: Resource, name: str) -> str:
    if (resource.group, resource.name) == ("batch", "jobs"):
        return f'field label "{name}" not supported for Job'
    if (resource.group, resource.name) in _FIELDS:
        return f"field label not supported: {name}"
    return f'"{name}" is not a known field selector: only "metadata.name", "metadata.namespace"'
