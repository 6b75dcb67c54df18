"""Decide the ingress addresses of a Service. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import condition_of, is_deleting, key_of, labels_of, uid_of
from tiphys.reconcile.commands import Command, Patch

Object = dict[str, Any]

SERVICES = resources.get("", "v1", "services")
EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"


def plan(service: Object, nodes: Sequence[Object]) -> list[Command]:
    """One patch of status.loadBalancer, or nothing. A Service with a loadBalancerClass belongs to somebody else."""
    spec = service["spec"]
    if is_deleting(service) or spec.get("loadBalancerClass"):
        return []
    wanted = [_ingress(address) for address in addresses(nodes)] if spec.get("type") == "LoadBalancer" else []
    held = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    if wanted == held or (not wanted and spec.get("type") != "LoadBalancer" and not held):
        return []
    meta = {"uid": uid_of(service), "resourceVersion": service["metadata"].get("resourceVersion", "")}
    status = {"loadBalancer": {"ingress": wanted or None}}
    return [Patch(SERVICES, key_of(service), {"metadata": meta, "status": status}, "status")]


def addresses(nodes: Sequence[Object]) -> list[str]:
    """External addresses of the ready nodes, internal ones where a node has none; sorted."""
    found = set()
    for node in nodes:
        if not is_eligible(node):
            continue
        told = (node.get("status") or {}).get("addresses") or ()
        external = [item["address"] for item in told if item["type"] == "ExternalIP"]
        found.update(external or [item["address"] for item in told if item["type"] == "InternalIP"])
    return sorted(found)


def is_eligible(node: Object) -> bool:
    ready = condition_of(node, "Ready")
    return ready is not None and ready["status"] == "True" and EXCLUDED not in labels_of(node) and not is_deleting(node)


def _ingress(address: str) -> Mapping[str, Any]:
    return {"ip": address, "ipMode": "VIP"}
