"""
The Network door: one machine's pod links, addresses and packet rules. Knows no Kubernetes.

A *lease* is a network namespace, pinned at a path, with a veth pair on the bridge, an address, a default route and
loopback up. Leases are prepared ahead, so taking one costs microseconds. All state can be found again after a crash
from the kernel and the lease files; nothing is kept only in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class NetworkFailure(Exception):
    """
    NetworkFailure
    ├── AddressesExhausted  every address of the range is leased
    ├── PortTaken           another lease forwards that port of the host
    ├── NotPermitted        the kernel refuses: no root, or a part of the kernel is missing
    └── RulesRefused        a packet rule transaction failed as a whole; nothing of it was applied
    """


class AddressesExhausted(NetworkFailure): ...


class PortTaken(NetworkFailure): ...


class NotPermitted(NetworkFailure): ...


class RulesRefused(NetworkFailure): ...


@dataclass(frozen=True, slots=True)
class Lease:
    """A network namespace in use: `owner` names who holds it (a pod uid)."""

    owner: str
    path: str  # pinned namespace, e.g. /run/tiphys/netns/<id>
    address: str  # "10.42.0.7"
    gateway: str
    host_interface: str


@dataclass(frozen=True, slots=True)
class PortForward:
    """A port of the host that leads to a port of a lease."""

    host_ip: str  # "" is every address
    host_port: int
    protocol: str  # "TCP", "UDP" or "SCTP"
    port: int

    def collides(self, other: PortForward) -> bool:
        """Whether both cannot stand at once: the same port and protocol on addresses that overlap."""
        same_port = (self.host_port, self.protocol) == (other.host_port, other.protocol)
        everywhere = {"", "0.0.0.0", "::"}
        return same_port and (
            self.host_ip == other.host_ip or self.host_ip in everywhere or other.host_ip in everywhere
        )


class Network(Protocol):
    async def open(self) -> None:
        """Make or find the bridge, masquerade and base rules; adopt existing leases. Idempotent."""

    async def acquire(self, owner: str, ports: Sequence[PortForward] = ()) -> Lease:
        """The lease of `owner`: the one it has, or a fresh one. AddressesExhausted or PortTaken change nothing."""

    async def release(self, owner: str) -> None:
        """Give address, links, namespace and port rules back. Unknown owners are ignored."""

    async def leases(self) -> Sequence[Lease]: ...

    async def close(self) -> None:
        """Stop background work. Leases in use stay as they are: pods outlive the agent."""

    async def purge(self) -> None:
        """Remove everything this network ever made: rules, links, namespaces, files."""
