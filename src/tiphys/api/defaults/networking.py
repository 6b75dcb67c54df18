"""Defaults of network policies and classes of Ingress."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

_GROUP = "networking.k8s.io"


def network_policy(obj: Object) -> None:
    """TCP, and for ingress always; for egress if it has rules."""
    spec = obj.setdefault("spec", {})
    for direction in ("ingress", "egress"):
        for rule in spec.get(direction) or ():
            for port in rule.get("ports") or ():
                port.setdefault("protocol", "TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def ingress(obj: Object) -> None:
    """A backend that is a resource shows its group, also if that is the core group."""
    spec = obj.get("spec") or {}
    backends = [spec.get("defaultBackend")]
    for rule in spec.get("rules") or ():
        backends += [path.get("backend") for path in (rule.get("http") or {}).get("paths") or ()]
    for backend in backends:
        resource = (backend or {}).get("resource")
        if resource is not None:
            resource.setdefault("apiGroup", None)


def ingress_class(obj: Object) -> None:
    """Parameters belong to the cluster unless they say a namespace."""
    parameters = (obj.get("spec") or {}).get("parameters")
    if parameters is not None:
        parameters.setdefault("scope", "Cluster")


DEFAULTS = {
    (_GROUP, "networkpolicies"): network_policy,
    (_GROUP, "ingresses"): ingress,
    (_GROUP, "ingressclasses"): ingress_class,
}
