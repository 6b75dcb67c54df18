"""The roles of controllers that Kubernetes does not have: made and kept as those that it has (`bootstrap.py`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]

_KEPT = {
    "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
    "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
}


def _rule(verbs: str, resources: str, group: str = "") -> Object:
    return {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split()}


_EVENTS = _rule("create patch update", "events")
_WORKLOADS = "deployments statefulsets daemonsets"
# Account in kube-system → what it may do. What a controller only reads comes out of shared caches.
_RULES: dict[str, list[Object]] = {
    "dependency-controller": [_rule("get list watch patch", "pods"), _EVENTS],
    "restart-controller": [
        _rule("get list watch patch", _WORKLOADS, "apps"),
        _rule("get list watch", "configmaps secrets"),
        _EVENTS,
    ],
    "rollout-controller": [
        _rule("get list watch patch", _WORKLOADS, "apps"),
        _rule("get list watch", "replicasets controllerrevisions", "apps"),
        _rule("get list watch delete", "pods"),
        _EVENTS,
    ],
}


def cluster_roles() -> Iterator[Object]:
    for account, rules in _RULES.items():
        yield {"metadata": {"name": f"tiphys:controller:{account}", **_KEPT}, "rules": rules}


def cluster_role_bindings() -> Iterator[Object]:
    for account in _RULES:
        name = f"tiphys:controller:{account}"
        yield {
            "metadata": {"name": name, **_KEPT},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": "kube-system"}],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        }
