"""
Objects that describe the API server itself: who is served at which priority, and which groups are served here.

Clients look at them (`kubectl get flowschemas`, `kubectl get apiservices`); nothing here depends on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import resources as package_files

import orjson

from tiphys.api import resources
from tiphys.api.metrics import CUSTOM_GROUP, RESOURCE_GROUP
from tiphys.api.objects import condition_of, timestamp
from tiphys.api.resources import Resource
from tiphys.apiserver.call import Object

FLOWCONTROL = "flowcontrol.apiserver.k8s.io"
# Who writes an object is seen in its managedFields.
PRODUCER, AGGREGATOR = "api-priority-and-fairness-config-producer-v1", "kube-apiserver"
_AUTOMANAGED = {"kube-aggregator.kubernetes.io/automanaged": "onstart"}
# Groups with a higher minimum come first in discovery; clients with a bare resource name take the first that has it.
_CORE_PRIORITY, _FIRST_PRIORITY, _PRIORITY_STEP = 18000, 17800, 100


def flow_control() -> Iterator[tuple[Resource, Object]]:
    """The priority levels and flow schemas that Kubernetes makes."""
    raw = package_files.files("tiphys.apiserver").joinpath("data/flowcontrol.json").read_bytes()
    for name, listed in orjson.loads(raw).items():
        resource = resources.get(FLOWCONTROL, "v1", name)
        for obj in listed:
            yield resource, obj


def api_services(served: Iterable[Resource]) -> Iterator[tuple[Resource, Object]]:
    """One for each group and version that is served here."""
    resource = resources.get("apiregistration.k8s.io", "v1", "apiservices")
    groups: dict[str, list[str]] = {}
    for one in served:
        versions = groups.setdefault(one.group, [])
        if one.version not in versions:
            versions.append(one.version)
    priority = _FIRST_PRIORITY
    for group, versions in groups.items():
        for place, version in enumerate(versions):
            spec: Object = {"version": version, "versionPriority": 15 * (len(versions) - place)}
            spec["groupPriorityMinimum"] = priority if group else _CORE_PRIORITY
            if group:
                spec["group"] = group
            else:
                spec["versionPriority"] = 1
            yield resource, {"metadata": {"name": f"{version}.{group}", "labels": _AUTOMANAGED}, "spec": spec}
        priority -= _PRIORITY_STEP if group else 0


def readers() -> tuple[Resource, Object]:
    """Who may view objects may view what they use, as metrics-server has it."""
    role = {
        "metadata": {
            "name": "system:aggregated-metrics-reader",
            "labels": {f"rbac.authorization.k8s.io/aggregate-to-{who}": "true" for who in ("admin", "edit", "view")},
        },
        "rules": [
            {"apiGroups": [RESOURCE_GROUP], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": [CUSTOM_GROUP], "resources": ["*"], "verbs": ["get", "list"]},
        ],
    }
    return resources.get("rbac.authorization.k8s.io", "v1", "clusterroles"), role


def told_available(service: Object | None, now: float) -> Object | None:
    """The APIService with the condition of what is served here; None if it says so, or is somebody else's."""
    if service is None or service["spec"].get("service") or condition_of(service, "Available") is not None:
        return None
    condition = {
        "type": "Available",
        "status": "True",
        "lastTransitionTime": timestamp(now),
        "reason": "Local",
        "message": "Local APIServices are always available",
    }
    return {**service, "status": {"conditions": [condition]}}
