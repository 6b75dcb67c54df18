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


class Network(Protocol):
    async def open(self) -> None:
        """Make or find the bridge, masquerade and base rules; adopt existing leases. Idempotent."""

    async def acquire(self, owner: str, ports: Sequence[PortForward] = ()) -> Lease:
        """The lease of `owner`: the one it has, or a fresh one."""

    async def release(self, owner: str) -> None:
        """Give address, links, namespace and port rules back. Unknown owners are ignored."""

    async def leases(self) -> Sequence[Lease]: ...

    async def close(self) -> None:
        """Stop background work. Leases in use stay as they are: pods outlive the agent."""

    async def purge(self) -> None:
        """Remove everything this network ever made: rules, links, namespaces, files."""
