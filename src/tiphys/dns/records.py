"""
What one Service or Namespace adds to the zone, per the Kubernetes DNS specification 1.1. Pure.

Names are relative to the domain here: `(b"web", b"shop", b"svc")`. Reverse names are whole.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tiphys.api.objects import name_of as object_name
from tiphys.api.objects import namespace_of
from tiphys.dns.message import AAAA, CNAME, PTR, SRV, A, Name, Record, Service, name_of

Object = Mapping[str, Any]

TTL_SECONDS = 5
PRIORITY, WEIGHT_SUM = 0, 100


@dataclass(frozen=True, slots=True)
class Target:
    """One ready endpoint of a headless Service, under its own name."""

    name: Name
    address: str
    ports: tuple[tuple[str, str, int], ...]  # (name, protocol, number)


def of_service(service: Object, slices: Iterable[Object], domain: Name) -> list[Record]:
    """Every record of one Service."""
    spec = service["spec"]
    name = (*name_of(object_name(service)), *name_of(namespace_of(service)), b"svc", *domain)
    if spec.get("type") == "ExternalName":
        alias = name_of(spec.get("externalName") or "")
        return [Record(name, CNAME, TTL_SECONDS, alias)] if alias else []
    addresses = [item for item in spec.get("clusterIPs") or [spec.get("clusterIP") or ""] if item]
    if addresses == ["None"]:
        return _headless(name, slices)
    return _with_address(name, [item for item in addresses if is_address(item)], spec.get("ports") or ())


def of_namespace(namespace: Object, domain: Name) -> list[Name]:
    """The names that exist because the namespace does."""
    label = name_of(object_name(namespace))
    return [(*label, b"svc", *domain), (*label, b"pod", *domain)]


def _with_address(name: Name, addresses: list[str], ports: Iterable[Object]) -> list[Record]:
    records = [address_record(name, address) for address in addresses]
    records += [Record(reverse_name(address), PTR, TTL_SECONDS, name) for address in addresses]
    for port in ports:
        data: Service = (PRIORITY, WEIGHT_SUM, int(port["port"]), name)
        records += _services(name, port.get("name") or "", port.get("protocol") or "TCP", data)
    return records


def _headless(name: Name, slices: Iterable[Object]) -> list[Record]:
    targets = list(_targets(name, slices))
    records = [address_record(name, address) for address in dict.fromkeys(target.address for target in targets)]
    weight = max(1, WEIGHT_SUM // max(1, len(targets)))
    for target in targets:
        records.append(address_record(target.name, target.address))
        records.append(Record(reverse_name(target.address), PTR, TTL_SECONDS, target.name))
        for port, protocol, number in target.ports:
            records += _services(name, port, protocol, (PRIORITY, weight, number, target.name))
    return list(dict.fromkeys(records))


def _services(name: Name, port: str, protocol: str, data: Service) -> list[Record]:
    """SRV under the Service's own name, and under `_port._protocol` where the port has a name."""
    records = [Record(name, SRV, TTL_SECONDS, data)]
    if port:
        label = (f"_{port}".lower().encode(), f"_{protocol}".lower().encode())
        records.append(Record((*label, *name), SRV, TTL_SECONDS, data))
    return records


def _targets(name: Name, slices: Iterable[Object]) -> Iterator[Target]:
    for piece in slices:
        if piece.get("addressType") not in ("IPv4", "IPv6"):
            continue
        ports = tuple(
            (port.get("name") or "", port.get("protocol") or "TCP", int(port["port"]))
            for port in piece.get("ports") or ()
            if port.get("port")
        )
        for endpoint in piece.get("endpoints") or ():
            # Addresses that are not ready but to be published come marked as ready.
            if (endpoint.get("conditions") or {}).get("ready") is False:
                continue
            for address in endpoint.get("addresses") or ():
                if is_address(address):
                    label = endpoint.get("hostname") or dashed(address)
                    yield Target((*name_of(label), *name), address, ports)


# addresses


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def dashed(address: str) -> str:
    """`10.42.0.5` as `10-42-0-5`."""
    return address.replace(".", "-").replace(":", "-")


def undashed(label: bytes) -> str | None:
    """The address that a pod's label spells, None if it spells none."""
    text = label.decode("ascii", "replace")
    for separator in (".", ":"):
        address = text.replace("-", separator)
        if is_address(address):
            return address
    return None


def address_record(name: Name, address: str) -> Record:
    if ":" in address:
        return Record(name, AAAA, TTL_SECONDS, socket.inet_pton(socket.AF_INET6, address))
    return Record(name, A, TTL_SECONDS, socket.inet_pton(socket.AF_INET, address))


def reverse_name(address: str) -> Name:
    return name_of(ipaddress.ip_address(address).reverse_pointer)


def reversed_address(name: Name) -> ipaddress.IPv4Address | None:
    """The address whose reverse name this is; None for all other names."""
    if len(name) != 6 or name[4:] != (b"in-addr", b"arpa"):
        return None
    try:
        return ipaddress.IPv4Address(b".".join(reversed(name[:4])).decode("ascii"))
    except ValueError:
        return None
