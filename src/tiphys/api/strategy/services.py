"""What a Service loses when its type changes, and what its writers are warned of."""

from __future__ import annotations

from tiphys.api.strategy.strategies import Object, Strategy

_WITH_ADDRESS = ("ClusterIP", "NodePort", "LoadBalancer")
_WITH_NODE_PORTS = ("NodePort", "LoadBalancer")


def drop_of_former_type(new: Object, old: Object) -> None:
    """What only the former type has a use for goes, unless the client has changed it: then validation speaks."""
    spec, before = new["spec"], old["spec"]
    now, then = spec.get("type"), before.get("type")
    if then in _WITH_ADDRESS and now not in _WITH_ADDRESS:
        if spec.get("clusterIPs") == before.get("clusterIPs"):
            spec.pop("clusterIP", None)
        _drop_same(spec, before, "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy")
    if then in _WITH_NODE_PORTS and now not in _WITH_NODE_PORTS:
        _drop_node_ports(spec, before)
    if then == "LoadBalancer" and now != "LoadBalancer":
        _drop_same(spec, before, "allocateLoadBalancerNodePorts", "loadBalancerClass")
    if _checks_health(before) and not _checks_health(spec):
        _drop_same(spec, before, "healthCheckNodePort")
    if _is_reachable(before) and not _is_reachable(spec):
        _drop_same(spec, before, "externalTrafficPolicy")


def _drop_same(spec: Object, before: Object, *names: str) -> None:
    for name in names:
        if name in spec and spec[name] == before.get(name):
            del spec[name]


def _drop_node_ports(spec: Object, before: Object) -> None:
    """All, if none is new."""
    held = {port.get("nodePort") for port in before.get("ports") or ()}
    ports = spec.get("ports") or ()
    if all(port.get("nodePort") in held for port in ports if port.get("nodePort")):
        for port in ports:
            port.pop("nodePort", None)


def _checks_health(spec: Object) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _is_reachable(spec: Object) -> bool:
    return spec.get("type") in _WITH_NODE_PORTS or bool(spec.get("type") == "ClusterIP" and spec.get("externalIPs"))


def service_warnings(new: Object, old: Object | None) -> list[str]:
    """Fields that are ignored or that few clusters still serve."""
    spec = new.get("spec") or {}
    found = []
    external_name = spec.get("type") == "ExternalName"
    if external_name and spec.get("externalIPs"):
        found.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if not external_name and spec.get("externalName"):
        found.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    if spec.get("clusterIP") == "None":
        found += [f"spec.{name} is ignored for headless services" for name in _ignored_if_headless(spec)]
    elif spec.get("externalIPs") and not external_name:
        found.append("spec.externalIPs is deprecated and may no longer be implemented in some clusters")
    return found


def _ignored_if_headless(spec: Object) -> list[str]:
    ignored = [name for name in ("loadBalancerIP", "externalIPs") if spec.get(name)]
    return [*ignored, "SessionAffinity"] if spec.get("sessionAffinity") not in ("", None, "None") else ignored


STRATEGIES = {
    ("", "services"): Strategy(update=drop_of_former_type, warnings=service_warnings, generation=False),
    ("discovery.k8s.io", "endpointslices"): Strategy(has_status=False),
}
