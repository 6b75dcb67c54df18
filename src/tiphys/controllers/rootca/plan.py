"""Decide what a namespace's `kube-root-ca.crt` needs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import is_deleting, name_of
from tiphys.reconcile.commands import Command, Create, Update

CONFIG_MAPS = resources.get("", "v1", "configmaps")
NAME = "kube-root-ca.crt"
DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


def plan(namespace: Mapping[str, Any], held: Mapping[str, Any] | None, bundle: str) -> list[Command]:
    """Create the ConfigMap where it is missing, and put back what somebody changed. `bundle` is PEM."""
    if is_deleting(namespace):
        return []
    annotations = {"kubernetes.io/description": DESCRIPTION}
    data = {"ca.crt": bundle}
    if held is None:
        meta = {"name": NAME, "namespace": name_of(namespace), "annotations": annotations}
        wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
        return [Create(CONFIG_MAPS, wanted, exists_ok=True)]
    kept = held["metadata"].get("annotations") or {}
    if held.get("data") == data and annotations.items() <= kept.items():
        return []
    meta = {**held["metadata"], "annotations": {**kept, **annotations}}
    return [Update(CONFIG_MAPS, {**held, "metadata": meta, "data": data})]
