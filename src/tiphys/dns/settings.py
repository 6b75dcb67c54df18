"""What can be chosen about cluster DNS."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DnsSettings:
    """
    `listen` are addresses with ports (0 takes a free one), each served over UDP and TCP. `address` is the virtual
    address of the DNS Service, which `ns.dns.<domain>` names and which is never asked as an upstream server.
    `own_cidrs` are the ranges whose unknown reverse names do not exist; others are asked upstream. `upstream` replaces
    the servers of `resolv_conf`.
    """

    listen: tuple[tuple[str, int], ...]
    domain: str = "cluster.local"
    address: str = "10.96.0.10"
    own_cidrs: tuple[str, ...] = ("10.42.0.0/16", "10.96.0.0/16")
    resolv_conf: Path = Path("/etc/resolv.conf")
    upstream: tuple[tuple[str, int], ...] = ()
