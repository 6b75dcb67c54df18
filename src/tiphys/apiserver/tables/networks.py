"""The cells of what connects pods: services, endpoints, ingresses, policies, addresses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.apiserver.tables.words import NONE, UNSET, Object, age, joined, labels, selector, some


def service(obj: Object, now: float) -> list[Any]:
    spec = obj["spec"]
    addresses = spec.get("clusterIPs")
    return [
        _name(obj),
        spec.get("type", ""),
        addresses[0] if addresses else NONE,
        _external(spec, obj.get("status") or {}),
        ",".join([_service_port(port) for port in spec.get("ports") or ()]) or NONE,
        age(obj, now),
        labels(spec.get("selector")),
    ]


def _service_port(port: Object) -> str:
    node = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port['port']}{node}/{port.get('protocol', 'TCP')}"


def _external(spec: Object, status: Object) -> str:
    kind, outside = spec.get("type"), list(spec.get("externalIPs") or ())
    if kind == "ExternalName":
        return str(spec.get("externalName", ""))
    if kind != "LoadBalancer":
        return joined(outside)
    return ",".join([*_ingress_points(status), *outside]) or "<pending>"


def _ingress_points(status: Object) -> list[str]:
    """Addresses of a load balancer, each once."""
    points = (status.get("loadBalancer") or {}).get("ingress") or ()
    return sorted({one.get("ip") or one.get("hostname", "") for one in points})


def endpoints(obj: Object, now: float) -> list[Any]:
    subsets = obj.get("subsets") or ()
    reached = [text for subset in subsets for text in _subset(subset)]
    return [_name(obj), some(reached) if subsets else NONE, age(obj, now)]


def _subset(subset: Object) -> Iterable[str]:
    addresses = [one["ip"] for one in subset.get("addresses") or ()]
    ports = subset.get("ports")
    if not ports:
        return addresses
    return [f"{_bracketed(address)}:{port['port']}" for port in ports for address in addresses]


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def endpointslice(obj: Object, now: float) -> list[Any]:
    ports = [str(port.get("port") or port.get("name") or "*") for port in obj.get("ports") or ()]
    addresses = [address for one in obj.get("endpoints") or () for address in one.get("addresses") or ()]
    return [_name(obj), obj.get("addressType", ""), some(ports) or UNSET, some(addresses) or UNSET, age(obj, now)]


def ingress(obj: Object, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    return [
        _name(obj),
        spec.get("ingressClassName") or NONE,
        _hosts(spec.get("rules") or ()),
        ",".join(_ingress_points(obj.get("status") or {})),
        "80, 443" if spec.get("tls") else "80",
        age(obj, now),
    ]


def _hosts(rules: Any) -> str:
    hosts = [rule["host"] for rule in rules if rule.get("host")]
    return some(hosts) or "*"


def ingressclass(obj: Object, now: float) -> list[Any]:
    spec = obj.get("spec") or {}
    parameters = spec.get("parameters")
    text = NONE
    if parameters:
        group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
        text = f"{parameters['kind']}{group}/{parameters['name']}"
    return [_name(obj), spec.get("controller", ""), text, age(obj, now)]


def networkpolicy(obj: Object, now: float) -> list[Any]:
    return [_name(obj), selector((obj.get("spec") or {}).get("podSelector")), age(obj, now)]


def ipaddress(obj: Object, now: float) -> list[Any]:
    parent = (obj.get("spec") or {}).get("parentRef")
    text = NONE
    if parent:
        resource = f"{parent['resource']}.{parent['group']}" if parent.get("group") else parent["resource"]
        text = "/".join([part for part in (resource.lower(), parent.get("namespace"), parent["name"]) if part])
    return [_name(obj), text, age(obj, now)]


def servicecidr(obj: Object, now: float) -> list[Any]:
    return [_name(obj), ",".join((obj.get("spec") or {}).get("cidrs") or ()), age(obj, now)]


def _name(obj: Object) -> str:
    return str(obj["metadata"]["name"])
