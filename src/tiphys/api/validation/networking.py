"""Are network policies, addresses and address ranges of Services valid."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, forbidden, invalid, not_supported, required
from tiphys.api.validation.internal import internal
from tiphys.api.validation.services import PROTOCOLS
from tiphys.api.validation.validator import Object, Validator
from tiphys.api.validation.values import port_errors, selector_errors

_GROUP = "networking.k8s.io"


def network_policy(obj: Object) -> list[FieldError]:
    """Whom it is for, from and to whom, and which directions it rules."""
    spec = obj.get("spec") or {}
    errors = selector_errors(spec.get("podSelector"), "spec.podSelector")
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or ()):
            path = f"spec.{direction}[{index}]"
            for at, port in enumerate(rule.get("ports") or ()):
                errors += _port_errors(port, f"{path}.ports[{at}]")
            for at, peer in enumerate(rule.get(peers) or ()):
                errors += _peer_errors(peer, f"{path}.{peers}[{at}]")
    kinds = spec.get("policyTypes") or []
    if len(kinds) > 2:
        text = "may not specify more than two policyTypes"
        return [*errors, invalid("spec.policyTypes", kinds, text)]
    return errors + [
        not_supported(f"spec.policyTypes[{index}]", kind, ("Egress", "Ingress"))
        for index, kind in enumerate(kinds)
        if kind not in ("Ingress", "Egress")
    ]


def network_policy_update(new: Object, old: Object) -> list[FieldError]:
    return network_policy(new)


def _port_errors(port: Mapping[str, Any], path: str) -> list[FieldError]:
    protocol, number, end = port.get("protocol"), port.get("port"), port.get("endPort")
    errors = []
    if protocol is not None and protocol not in PROTOCOLS:
        errors.append(not_supported(f"{path}.protocol", protocol, PROTOCOLS, is_set=False))
    if number is None:
        if end is not None:
            errors.append(invalid(f"{path}.endPort", end, "may not be specified when `port` is not specified"))
        return errors
    errors += port_errors(number, f"{path}.port")
    if end is None:
        return errors
    if isinstance(number, str):
        errors.append(invalid(f"{path}.endPort", end, "may not be specified when `port` is non-numeric"))
    elif end < number:
        errors.append(invalid(f"{path}.endPort", number, "must be greater than or equal to `port`"))
    else:
        errors += [invalid(f"{path}.endPort", end, text) for text in names.port_number(end)]
    return errors


def _peer_errors(peer: Mapping[str, Any], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    kinds = 0
    for name in ("podSelector", "namespaceSelector"):
        if peer.get(name) is not None:
            kinds += 1
            errors += selector_errors(peer[name], f"{path}.{name}")
    block = peer.get("ipBlock")
    if block is not None:
        errors += _block_errors(block, f"{path}.ipBlock")
        if kinds:
            errors.append(forbidden(path, "may not specify both ipBlock and another peer"))
    elif not kinds:
        errors.append(required(path, "must specify a peer"))
    return errors


def _block_errors(block: Mapping[str, Any], path: str) -> list[FieldError]:
    whole = block.get("cidr", "")
    if not whole:
        return [required(f"{path}.cidr")]
    errors = [invalid(f"{path}.cidr", whole, text) for text in names.cidr(whole)]
    network = names.parsed_cidr(whole)
    for index, each in enumerate(block.get("except") or ()):
        where = f"{path}.except[{index}]"
        found = names.parsed_cidr(each)
        if found is None:
            errors += [invalid(where, each, text) for text in names.cidr(each)]
        elif network is not None and not _is_inside(found, network):
            errors.append(invalid(where, each, "must be a strict subset of `cidr`"))
    return errors


_Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface


def _is_inside(part: _Interface, whole: _Interface) -> bool:
    same = part.version == whole.version and part.ip in whole.network
    return same and part.network.prefixlen > whole.network.prefixlen


def address_name(name: str) -> list[str]:
    """What keeps a name from being an IP address as it is written canonically."""
    parsed = names.parsed_ip(name)
    if parsed is None:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    if str(parsed) == name:
        return []
    return ["must not have leading 0s"] if parsed.version == 4 else [f'must be in canonical form ("{parsed}")']


def address(obj: Object) -> list[FieldError]:
    """Whose address it is."""
    parent = (obj.get("spec") or {}).get("parentRef")
    path = "spec.parentRef"
    if parent is None:
        return [required(path)]
    group, errors = parent.get("group", ""), []
    if group:
        errors += [invalid(f"{path}.group", group, text) for text in names.dns_subdomain(group)]
    for name in ("resource", "name", "namespace"):
        said = parent.get(name, "")
        if not said and name != "namespace":
            errors.append(required(f"{path}.{name}"))
        errors += [invalid(f"{path}.{name}", said, text) for text in names.path_segment(said)]
    return errors


def address_update(new: Object, old: Object) -> list[FieldError]:
    parent, before = (new.get("spec") or {}).get("parentRef"), (old.get("spec") or {}).get("parentRef")
    if parent == before:
        return []
    return [invalid("spec.parentRef", internal(parent, "networking.v1.ParentReference"), "field is immutable")]


def service_range(obj: Object) -> list[FieldError]:
    """One range, or one of each family."""
    ranges = (obj.get("spec") or {}).get("cidrs") or []
    if not ranges:
        return [required("spec.cidrs", "at least one CIDR required")]
    if len(ranges) > 2:
        return [invalid("spec.cidrs", {"CIDRs": ranges}, "may only hold up to 2 values")]
    errors: list[FieldError] = []
    if len(ranges) == 2 and (":" in ranges[0]) == (":" in ranges[1]):
        text = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
        errors.append(invalid("spec.cidrs", ranges, text))
    for index, each in enumerate(ranges):
        errors += _range_errors(each, f"spec.cidrs[{index}]")
    return errors


def _range_errors(said: str, path: str) -> list[FieldError]:
    parsed = names.parsed_cidr(said)
    if parsed is None:
        return [invalid(path, said, text) for text in names.cidr(said)]
    if parsed.ip != parsed.network.network_address:
        return [invalid(path, said, "must not have bits set beyond the prefix length")]
    canonical = str(parsed.network)
    return [] if canonical == said else [invalid(path, said, f'must be in canonical form ("{canonical}")')]


def service_range_update(new: Object, old: Object) -> list[FieldError]:
    """Ranges stay; a second family may be added."""
    ranges, before = (new.get("spec") or {}).get("cidrs") or [], (old.get("spec") or {}).get("cidrs") or []
    if len(before) == 1 and len(ranges) == 2:
        return service_range(new) + _changed_errors(ranges, before)
    if len(ranges) != len(before):
        return [invalid("spec.cidrs", ranges or None, "field is immutable")]
    return _changed_errors(ranges, before)


def _changed_errors(ranges: list[str], before: list[str]) -> list[FieldError]:
    return [
        invalid(f"spec.cidrs[{index}]", ranges[index], "field is immutable")
        for index, each in enumerate(before)
        if ranges[index] != each
    ]


VALIDATORS = {
    (_GROUP, "networkpolicies"): Validator(network_policy, network_policy_update),
    (_GROUP, "ipaddresses"): Validator(address, address_update, address_name),
    (_GROUP, "servicecidrs"): Validator(service_range, service_range_update),
}
