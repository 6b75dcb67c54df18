"""Are Endpoints and EndpointSlices valid."""

from __future__ import annotations

from collections.abc import Sequence

from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, duplicate, invalid, required, too_many
from tiphys.api.validation.services import (
    PROTOCOLS,
    application_protocol_errors,
    ip_errors,
    special_ip_errors,
)
from tiphys.api.validation.validator import Object, Validator
from tiphys.api.validation.values import choice_errors, port_errors

ENDPOINTS_MAX, PORTS_MAX, ADDRESSES_MAX = 1000, 20000, 100
_ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
_HINTS_MAX = 8


def endpoints(obj: Object) -> list[FieldError]:
    """Each subset has addresses and valid ports."""
    errors: list[FieldError] = []
    for index, subset in enumerate(obj.get("subsets") or ()):
        path = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            errors.append(required(path, "must specify `addresses` or `notReadyAddresses`"))
        for name in ("addresses", "notReadyAddresses"):
            for at, address in enumerate(subset.get(name) or ()):
                errors += _address_errors(address, f"{path}.{name}[{at}]")
        ports = subset.get("ports") or ()
        for at, port in enumerate(ports):
            errors += _port_errors(port, f"{path}.ports[{at}]", named=len(ports) > 1)
    return errors


def _address_errors(address: Object, path: str) -> list[FieldError]:
    errors = ip_errors(address.get("ip", ""), f"{path}.ip")
    host, node = address.get("hostname"), address.get("nodeName")
    if host:
        errors += [invalid(f"{path}.hostname", host, text) for text in names.dns_label(host)]
    if node is not None:
        errors += [invalid(f"{path}.nodeName", node, text) for text in names.dns_subdomain(node)]
    return errors + special_ip_errors(address.get("ip", ""), f"{path}.ip")


def _port_errors(port: Object, path: str, *, named: bool) -> list[FieldError]:
    name, errors = port.get("name", ""), []
    if named and not name:
        errors.append(required(f"{path}.name"))
    elif name:
        errors += [invalid(f"{path}.name", name, text) for text in names.dns_label(name)]
    errors += port_errors(port.get("port", 0), f"{path}.port")
    errors += choice_errors(port.get("protocol"), f"{path}.protocol", PROTOCOLS)
    return errors + application_protocol_errors(port, path)


def endpoints_update(new: Object, old: Object) -> list[FieldError]:
    return endpoints(new)


def endpoint_slice(obj: Object) -> list[FieldError]:
    """Addresses of the one type, few enough of all, and ports that differ by name."""
    kind = obj.get("addressType", "")
    errors = choice_errors(kind, "addressType", _ADDRESS_TYPES)
    found = obj.get("endpoints") or ()
    if len(found) > ENDPOINTS_MAX:
        errors.append(too_many("endpoints", len(found), ENDPOINTS_MAX))
    else:
        for index, endpoint in enumerate(found):
            errors += _endpoint_errors(endpoint, kind, f"endpoints[{index}]")
    return errors + _slice_port_errors(obj.get("ports") or ())


def _endpoint_errors(endpoint: Object, kind: str, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    addresses = endpoint.get("addresses") or ()
    if not addresses:
        errors.append(required(f"{path}.addresses", "must contain at least 1 address"))
    elif len(addresses) > ADDRESSES_MAX:
        errors.append(too_many(f"{path}.addresses", len(addresses), ADDRESSES_MAX))
    for index, address in enumerate(addresses):
        errors += _slice_address_errors(address, kind, f"{path}.addresses[{index}]")
    node, host = endpoint.get("nodeName"), endpoint.get("hostname")
    if node is not None:
        errors += [invalid(f"{path}.nodeName", node, text) for text in names.dns_subdomain(node)]
    if host is not None:
        errors += [invalid(f"{path}.hostname", host, text) for text in names.dns_label(host)]
    zones = (endpoint.get("hints") or {}).get("forZones") or ()
    if len(zones) > _HINTS_MAX:
        errors.append(too_many(f"{path}.hints.forZones", len(zones), _HINTS_MAX))
    for index, zone in enumerate(zones):
        if zone in zones[:index]:
            errors.append(duplicate(f"{path}.hints.forZones[{index}].name", zone.get("name", "")))
    return errors


def _slice_address_errors(address: str, kind: str, path: str) -> list[FieldError]:
    if kind == "FQDN":
        texts = names.dns_subdomain(address.removesuffix("."))
        if "." not in address:
            texts = ["should be a domain with at least two segments separated by dots"]
        return [invalid(path, address, text) for text in texts]
    if kind not in ("IPv4", "IPv6"):
        return []
    parsed = names.parsed_ip(address)
    if parsed is None:
        return ip_errors(address, path)
    if parsed.version != int(kind[3:]):
        return [invalid(path, address, f"must be an {kind} address")]
    return special_ip_errors(address, path)


def _slice_port_errors(ports: Sequence[Object]) -> list[FieldError]:
    if len(ports) > PORTS_MAX:
        return [too_many("ports", len(ports), PORTS_MAX)]
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, port in enumerate(ports):
        path, name = f"ports[{index}]", port.get("name", "")
        if name:
            errors += [invalid(f"{path}.name", name, text) for text in names.dns_label(name)]
        if name in seen:
            errors.append(duplicate(f"{path}.name", name))
        seen.add(name)
        errors += choice_errors(port.get("protocol"), f"{path}.protocol", PROTOCOLS)
        if port.get("port") is not None:
            errors += port_errors(port["port"], f"{path}.port")
        errors += application_protocol_errors(port, path)
    return errors


def endpoint_slice_update(new: Object, old: Object) -> list[FieldError]:
    """The type of addresses stays."""
    errors = endpoint_slice(new)
    if new.get("addressType") != old.get("addressType"):
        errors.append(invalid("addressType", new.get("addressType"), "field is immutable"))
    return errors


VALIDATORS = {
    ("", "endpoints"): Validator(endpoints, endpoints_update),
    ("discovery.k8s.io", "endpointslices"): Validator(endpoint_slice, endpoint_slice_update),
}
