"""Generations and warnings of the networking kinds."""

from __future__ import annotations

from tiphys.api.strategy.strategies import Object, Strategy

_GROUP = "networking.k8s.io"
INGRESS_CLASS = "kubernetes.io/ingress.class"


def ingress_warnings(new: Object, old: Object | None) -> list[str]:
    """The annotation that was there before there were classes; said once, when the Ingress is made."""
    if old is not None or INGRESS_CLASS not in (new["metadata"].get("annotations") or {}):
        return []
    return [f"annotation \"{INGRESS_CLASS}\" is deprecated, please use 'spec.ingressClassName' instead"]


STRATEGIES = {
    (_GROUP, "ingresses"): Strategy(warnings=ingress_warnings),
    (_GROUP, "ingressclasses"): Strategy(has_status=False),
    (_GROUP, "networkpolicies"): Strategy(has_status=False),
}
