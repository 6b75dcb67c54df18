"""Is a Service valid."""

from __future__ import annotations

from collections.abc import Sequence

from tiphys.api.validation import names
from tiphys.api.validation.fields import (
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
)
from tiphys.api.validation.internal import internal
from tiphys.api.validation.metadata import label_errors
from tiphys.api.validation.validator import Object, Validator
from tiphys.api.validation.values import choice_errors, port_errors

KUBELET_PORT = 10250
AFFINITY_TIMEOUT_SECONDS_MAX = 86400
PROTOCOLS = ("TCP", "UDP", "SCTP")
_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_FAMILIES = ("IPv4", "IPv6")
_FAMILY_POLICIES = ("SingleStack", "PreferDualStack", "RequireDualStack")
_TRAFFIC_POLICIES = ("Cluster", "Local")
_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
_ONLY_LOAD_BALANCER = "may only be used when `type` is 'LoadBalancer'"
_PORT_ORDER = ("name", "protocol", "appProtocol", "port", "targetPort", "nodePort")


def service(obj: Object) -> list[FieldError]:
    """What is wrong with a Service whose addresses and ports are allocated."""
    spec = obj["spec"]
    errors: list[FieldError] = []
    ports = spec.get("ports") or ()
    if not ports and spec.get("clusterIP") != "None" and spec.get("type") != "ExternalName":
        errors.append(required("spec.ports"))
    errors += _type_errors(spec)
    errors += _port_list_errors(ports)
    if spec.get("selector"):
        errors += label_errors(spec["selector"], "spec.selector")
    errors += _affinity_errors(spec)
    errors += _address_errors(spec)
    for index, address in enumerate(spec.get("externalIPs") or ()):
        errors += ip_errors(address, f"spec.externalIPs[{index}]") or special_ip_errors(
            address, f"spec.externalIPs[{index}]"
        )
    errors += choice_errors(spec.get("type"), "spec.type", _TYPES)
    errors += _port_use_errors(spec)
    errors += _load_balancer_errors(spec)
    errors += _external_traffic_errors(spec)
    return errors + _internal_traffic_errors(spec)


def ip_errors(address: str, path: str) -> list[FieldError]:
    return [invalid(path, address, text) for text in names.ip_address(address)]


def special_ip_errors(address: str, path: str) -> list[FieldError]:
    """Addresses that mean something else on each machine."""
    parsed = names.parsed_ip(address)
    if parsed is None:
        return [invalid(path, address, "must be a valid IP address")]
    errors = []
    if parsed.is_unspecified:
        errors.append(invalid(path, address, "may not be unspecified (0.0.0.0 or ::)"))
    if parsed.is_loopback:
        errors.append(invalid(path, address, "may not be in the loopback range (127.0.0.0/8, ::1/128)"))
    if parsed.is_link_local:
        text = "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
        errors.append(invalid(path, address, text))
    if parsed.is_multicast and str(parsed).startswith(("224.0.0.", "ff02:")):
        text = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
        errors.append(invalid(path, address, text))
    return errors


def _type_errors(spec: Object) -> list[FieldError]:
    kind, errors = spec.get("type"), []
    if kind == "LoadBalancer":
        text = f"may not expose port {KUBELET_PORT} externally since it is used by kubelet"
        errors += [
            invalid(f"spec.ports[{index}]", KUBELET_PORT, text)
            for index, port in enumerate(spec.get("ports") or ())
            if port.get("port") == KUBELET_PORT
        ]
    if kind in ("LoadBalancer", "NodePort") and spec.get("clusterIP") == "None":
        errors.append(invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services"))
    if kind == "ExternalName":
        errors += [
            forbidden(f"spec.{name}", "may not be set for ExternalName services")
            for name in ("clusterIPs", "ipFamilies", "ipFamilyPolicy")
            if spec.get(name)
        ]
        target = spec.get("externalName", "").removesuffix(".")
        if not target:
            errors.append(required("spec.externalName"))
        errors += [invalid("spec.externalName", target, text) for text in names.dns_subdomain(target) if target]
    return errors


def _port_list_errors(ports: Sequence[Object]) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, port in enumerate(ports):
        path, name = f"spec.ports[{index}]", port.get("name", "")
        if not name and len(ports) > 1:
            errors.append(required(f"{path}.name"))
        elif name:
            errors += [invalid(f"{path}.name", name, text) for text in names.dns_label(name)]
            if name in seen:
                errors.append(duplicate(f"{path}.name", name))
            seen.add(name)
        errors += port_errors(port.get("port", 0), f"{path}.port")
        errors += choice_errors(port.get("protocol"), f"{path}.protocol", PROTOCOLS)
        errors += port_errors(port.get("targetPort", 0), f"{path}.targetPort")
        errors += application_protocol_errors(port, path)
    return errors


def application_protocol_errors(port: Object, path: str) -> list[FieldError]:
    said = port.get("appProtocol")
    if said is None:
        return []
    return [invalid(f"{path}.appProtocol", said, text) for text in names.qualified_name(said)]


def _affinity_errors(spec: Object) -> list[FieldError]:
    affinity = spec.get("sessionAffinity")
    errors = choice_errors(affinity, "spec.sessionAffinity", ("ClientIP", "None"))
    path = "spec.sessionAffinityConfig"
    if affinity == "ClientIP":
        seconds = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds", 0)
        if not 0 < seconds <= AFFINITY_TIMEOUT_SECONDS_MAX:
            text = f"must be greater than 0 and less than {AFFINITY_TIMEOUT_SECONDS_MAX}"
            errors.append(invalid(f"{path}.clientIP.timeoutSeconds", seconds, text))
    elif affinity == "None" and spec.get("sessionAffinityConfig"):
        errors.append(forbidden(path, "must not be set when session affinity is None"))
    return errors


def _address_errors(spec: Object) -> list[FieldError]:
    if spec.get("type") == "ExternalName":
        return []
    errors: list[FieldError] = []
    addresses, first = spec.get("clusterIPs") or [], spec.get("clusterIP", "")
    if addresses and not first:
        errors.append(invalid("spec.clusterIPs", addresses, "must be empty when `clusterIP` is not specified"))
    elif addresses and addresses[0] != first:
        errors.append(invalid("spec.clusterIPs", addresses, "first value must match `clusterIP`"))
    families = spec.get("ipFamilies") or []
    for index, family in enumerate(families):
        path = f"spec.ipFamilies[{index}]"
        if family not in _FAMILIES:
            errors.append(not_supported(path, family, _FAMILIES))
        if family in families[:index]:
            errors.append(duplicate(path, family))
    policy = spec.get("ipFamilyPolicy")
    if policy and policy not in _FAMILY_POLICIES:
        errors.append(not_supported("spec.ipFamilyPolicy", policy, _FAMILY_POLICIES))
    return errors + _address_list_errors(addresses)


def _address_list_errors(addresses: list[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, address in enumerate(addresses):
        if index == 0 and address == "None":
            if len(addresses) > 1:
                errors.append(invalid("spec.clusterIPs", addresses, "'None' must be the first and only value"))
            continue
        errors += ip_errors(address, f"spec.clusterIPs[{index}]")
    if len(addresses) > 2:
        errors.append(invalid("spec.clusterIPs", addresses, "may only hold up to 2 values"))
    if not errors and len(addresses) == 2 and (":" in addresses[0]) == (":" in addresses[1]):
        text = "may specify no more than one IP for each IP family"
        errors.append(invalid("spec.clusterIPs", addresses, text))
    return errors


def _port_use_errors(spec: Object) -> list[FieldError]:
    ports, errors = spec.get("ports") or (), []
    if spec.get("type") == "ClusterIP":
        errors += [
            forbidden(f"spec.ports[{index}].nodePort", "may not be used when `type` is 'ClusterIP'")
            for index, port in enumerate(ports)
            if port.get("nodePort")
        ]
    opened: set[tuple[str | None, int]] = set()
    for index, port in enumerate(ports):
        key = port.get("protocol"), port.get("nodePort", 0)
        if key[1] and key in opened:
            errors.append(duplicate(f"spec.ports[{index}].nodePort", key[1]))
        opened.add(key)
    served: set[tuple[str | None, int]] = set()
    for index, port in enumerate(ports):
        key = port.get("protocol"), port.get("port", 0)
        if key in served:
            shown = internal({"protocol": key[0], "port": key[1]}, "core.v1.ServicePort", *_PORT_ORDER)
            errors.append(duplicate(f"spec.ports[{index}]", shown))
        served.add(key)
    return errors


def _load_balancer_errors(spec: Object) -> list[FieldError]:
    is_balanced, errors = spec.get("type") == "LoadBalancer", []
    ranges = spec.get("loadBalancerSourceRanges") or ()
    if ranges and not is_balanced:
        errors.append(forbidden("spec.LoadBalancerSourceRanges", _ONLY_LOAD_BALANCER))
    for index, each in enumerate(ranges):
        path = f"spec.LoadBalancerSourceRanges[{index}]"
        errors += [invalid(path, each, text) for text in names.cidr(each.strip())]
    allocates = spec.get("allocateLoadBalancerNodePorts")
    if allocates is not None and not is_balanced:
        errors.append(forbidden("spec.allocateLoadBalancerNodePorts", _ONLY_LOAD_BALANCER))
    if allocates is None and is_balanced:
        errors.append(required("spec.allocateLoadBalancerNodePorts"))
    name = spec.get("loadBalancerClass")
    if name is not None and not is_balanced:
        errors.append(forbidden("spec.loadBalancerClass", _ONLY_LOAD_BALANCER))
    elif name is not None:
        errors += [invalid("spec.loadBalancerClass", name, text) for text in names.qualified_name(name)]
    return errors


def _external_traffic_errors(spec: Object) -> list[FieldError]:
    path, policy, kind = "spec.externalTrafficPolicy", spec.get("externalTrafficPolicy", ""), spec.get("type")
    reachable = kind in ("LoadBalancer", "NodePort") or (kind == "ClusterIP" and spec.get("externalIPs"))
    errors = []
    if reachable:
        errors += choice_errors(policy, path, _TRAFFIC_POLICIES)
    elif policy:
        errors.append(invalid(path, policy, "may only be set for externally-accessible services"))
    port = spec.get("healthCheckNodePort", 0)
    if kind != "LoadBalancer" or policy != "Local":
        if port:
            text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
            errors.append(invalid("spec.healthCheckNodePort", port, text))
    else:
        errors += port_errors(port, "spec.healthCheckNodePort") if port else [required("spec.healthCheckNodePort")]
    return errors


def _internal_traffic_errors(spec: Object) -> list[FieldError]:
    policy, errors = spec.get("internalTrafficPolicy"), []
    if policy is None:
        if spec.get("type") in ("NodePort", "LoadBalancer", "ClusterIP"):
            errors.append(required("spec.internalTrafficPolicy"))
    elif policy not in _TRAFFIC_POLICIES:
        errors.append(not_supported("spec.internalTrafficPolicy", policy, _TRAFFIC_POLICIES))
    wanted = spec.get("trafficDistribution")
    if wanted is not None and wanted not in _DISTRIBUTIONS:
        errors.append(not_supported("spec.trafficDistribution", wanted, _DISTRIBUTIONS))
    return errors


def service_update(new: Object, old: Object) -> list[FieldError]:
    """A cluster address stays for life, and so does the class of a load balancer."""
    spec, before = new["spec"], old["spec"]
    errors = []
    kinds = {spec.get("type"), before.get("type")}
    addresses, held = spec.get("clusterIPs") or [], before.get("clusterIPs") or []
    if "ExternalName" not in kinds and held and addresses[:1] != held[:1]:
        errors.append(invalid("spec.clusterIPs[0]", addresses or None, "may not change once set"))
    name = spec.get("loadBalancerClass")
    if kinds == {"LoadBalancer"} and name != before.get("loadBalancerClass"):
        errors.append(invalid("spec.loadBalancerClass", name, "may not change once set"))
    return errors + service(new)


def service_status(new: Object, old: Object) -> list[FieldError]:
    """Only a load balancer has addresses outside."""
    path = "status.loadBalancer.ingress"
    found = ((new.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    if found and new["spec"].get("type") != "LoadBalancer":
        return [forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")]
    errors: list[FieldError] = []
    for index, each in enumerate(found):
        errors += ingress_errors(each, f"{path}[{index}]")
        mode = each.get("ipMode")
        if each.get("ip") and mode is None:
            errors.append(required(f"{path}[{index}].ipMode", "must be specified when `ip` is set"))
    return errors


def ingress_errors(ingress: Object, path: str) -> list[FieldError]:
    """An address of a load balancer, of Services and Ingresses alike."""
    errors: list[FieldError] = []
    address, mode, host = ingress.get("ip"), ingress.get("ipMode"), ingress.get("hostname")
    if address:
        errors += ip_errors(address, f"{path}.ip")
    if mode is not None and not address:
        errors.append(forbidden(f"{path}.ipMode", "may not be specified when `ip` is not set"))
    elif mode is not None and mode not in ("VIP", "Proxy"):
        errors.append(not_supported(f"{path}.ipMode", mode, ("VIP", "Proxy")))
    if host:
        errors += [invalid(f"{path}.hostname", host, text) for text in names.dns_subdomain(host)]
        if names.parsed_ip(host) is not None:
            errors.append(invalid(f"{path}.hostname", host, "must be a DNS name, not an IP address"))
    return errors


VALIDATORS = {
    ("", "services"): Validator(service, service_update, names.dns_label, {"status": service_status}),
}
