"""
The rules every machine with pods has: masquerade, forwarded host ports, hairpin, and two guards. Pure.

The proxy has a table of its own for Services, so that each part replaces its rules at once without the other.
"""

from __future__ import annotations

from collections.abc import Iterable

from tiphys.network.door import PortForward
from tiphys.network.leases import LeaseRecord
from tiphys.network.rules import Chain, Change, Collection, DropElements, PutChain, PutCollection, PutElements, Ruleset
from tiphys.network.settings import NetworkSettings

# Address pairs (a, a): a pod that reached itself through a virtual address.
HAIRPIN = Collection("hairpin", "ip saddr . ip daddr")
PORTS = Collection("host-ports", "meta l4proto . th dport", "ip daddr . th dport")
ADDRESS_PORTS = Collection("address-ports", "ip daddr . meta l4proto . th dport", "ip daddr . th dport")

EVERY_ADDRESS = ("", "0.0.0.0", "::")
TRANSPORTS = "meta l4proto { tcp, udp, sctp }"


def ruleset(settings: NetworkSettings, records: Iterable[LeaseRecord], prepared: Iterable[str]) -> Ruleset:
    """Everything that the table holds, for the leases in use and the addresses of prepared namespaces."""
    changes: list[Change] = [PutCollection(c) for c in (HAIRPIN, PORTS, ADDRESS_PORTS)]
    changes += [PutChain(chain) for chain in _chains(settings)]
    changes += [hairpin(address) for address in prepared]
    for record in records:
        changes += [hairpin(record.lease.address), *forwards(record)]
    return Ruleset.of(changes)


def hairpin(address: str) -> PutElements:
    return PutElements(HAIRPIN.name, {f"{address} . {address}": ""})


def forwards(record: LeaseRecord) -> list[Change]:
    """What a lease's host ports add."""
    return [
        PutElements(_collection(port), {_key(port): f"{record.lease.address} . {port.port}"}) for port in record.ports
    ]


def withdrawal(record: LeaseRecord) -> list[Change]:
    """What giving a lease back takes out."""
    address = record.lease.address
    changes: list[Change] = [DropElements(HAIRPIN.name, (f"{address} . {address}",))]
    return changes + [DropElements(_collection(port), (_key(port),)) for port in record.ports]


def _collection(port: PortForward) -> str:
    return PORTS.name if port.host_ip in EVERY_ADDRESS else ADDRESS_PORTS.name


def _key(port: PortForward) -> str:
    key = f"{port.protocol.lower()} . {port.host_port}"
    return key if port.host_ip in EVERY_ADDRESS else f"{port.host_ip} . {key}"


def _chains(settings: NetworkSettings) -> list[Chain]:
    inside = ", ".join(dict.fromkeys((settings.pod_cidr, *settings.cluster_cidrs)))
    bridge = f'"{settings.bridge}"'
    return [
        Chain(
            "forwards",
            (
                f"{TRANSPORTS} dnat ip to ip daddr . meta l4proto . th dport map @{ADDRESS_PORTS.name}",
                f"fib daddr type local {TRANSPORTS} dnat ip to meta l4proto . th dport map @{PORTS.name}",
            ),
        ),
        Chain("prerouting", ("goto forwards",), "type nat hook prerouting priority -100; policy accept;"),
        Chain("output", ("goto forwards",), "type nat hook output priority -100; policy accept;"),
        Chain(
            "postrouting",
            (
                f"ct status dnat ip saddr . ip daddr @{HAIRPIN.name} masquerade",
                # The host spoke to one of its loopback addresses; a pod could not answer to that.
                f"oifname {bridge} ip saddr 127.0.0.0/8 masquerade",
                f"oifname != {bridge} ip saddr {settings.pod_cidr} ip daddr != {{ {inside} }} masquerade",
            ),
            "type nat hook postrouting priority 100; policy accept;",
        ),
        # The bridge may route to loopback addresses, for node ports; nobody but the host itself may use that.
        Chain(
            "guard",
            (f"iifname {bridge} ip daddr 127.0.0.0/8 drop",),
            "type filter hook prerouting priority -300; policy accept;",
        ),
        # Packets between pods come in and leave by the bridge on purpose: no "there is a shorter way" to pods.
        Chain(
            "quiet",
            (f"oifname {bridge} icmp type redirect drop",),
            "type filter hook output priority 0; policy accept;",
        ),
    ]
