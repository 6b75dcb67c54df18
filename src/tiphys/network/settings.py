"""What can be chosen about the network of one machine."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """
    `pod_cidr` is this machine's own range: its first address is the bridge's, the rest are leased. `cluster_cidrs` are
    the ranges that pods reach without masquerade ("" adds nothing). `service_cidr` gets a route by the bridge, so that
    the host reaches virtual addresses also where it has no default route; "" makes none. `mtu` 0 takes that of the
    default route's device. `ready` is how many namespaces are prepared ahead.
    """

    run_dir: Path = Path("/run/tiphys")
    bridge: str = "tiphys0"
    pod_cidr: str = "10.42.0.0/24"
    cluster_cidrs: tuple[str, ...] = ()
    service_cidr: str = "10.96.0.0/16"
    table: str = "tiphys"
    mtu: int = 0
    ready: int = 4

    @property
    def subnet(self) -> ipaddress.IPv4Network:
        return ipaddress.IPv4Network(self.pod_cidr)

    @property
    def gateway(self) -> str:
        """The bridge's address: the first of the range."""
        return str(self.subnet[1])

    @property
    def namespaces_dir(self) -> Path:
        return self.run_dir / "netns"

    @property
    def leases_dir(self) -> Path:
        return self.run_dir / "leases"

    @property
    def forwarding_file(self) -> Path:
        """Is there where the host did not forward packets before us."""
        return self.run_dir / "ip_forward.was-off"
