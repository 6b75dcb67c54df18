"""
Which endpoints of a Service may get traffic on this node. Pure.

The rules are Kubernetes': ready ones; where there is none, those that are terminating and still serve. With a Local
policy the same is asked of this node's endpoints alone. Hints narrow a cluster-wide choice to the node or the zone
where every endpoint has one.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tiphys.proxy.settings import ProxySettings

Object = Mapping[str, Any]

PROTOCOLS = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp"}


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """One address and port behind a port of a Service."""

    address: str
    port: int
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    local: bool = False
    zones: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """nft's words for it."""
        return f"{self.address} . {self.port}"


def of_port(slices: Iterable[Object], port: Object, settings: ProxySettings) -> list[Endpoint]:
    """The IPv4 endpoints of one port of a Service, each address and port once, in order."""
    found: dict[tuple[str, int], Endpoint] = {}
    protocol = protocol_of(port)
    for piece in slices:
        if piece.get("addressType") != "IPv4":
            continue
        for offered in piece.get("ports") or ():
            same = (offered.get("name") or "") == (port.get("name") or "")
            if not same or protocol_of(offered) != protocol or not offered.get("port"):
                continue
            for raw in piece.get("endpoints") or ():
                if not is_ipv4(raw["addresses"][0]):
                    continue
                endpoint = _endpoint(raw, int(offered["port"]), settings)
                held = found.get((endpoint.address, endpoint.port))
                # While an endpoint moves between slices it is in both; the readier picture is the newer one.
                if held is None or (endpoint.ready, endpoint.serving) > (held.ready, held.serving):
                    found[(endpoint.address, endpoint.port)] = endpoint
    return sorted(found.values())


def protocol_of(port: Object) -> str:
    """The transport protocol in nft's word; KeyError for one that there is not."""
    return PROTOCOLS[port.get("protocol") or "TCP"]


def is_ipv4(text: str) -> bool:
    """Strictly: what passes becomes part of a command to nft."""
    try:
        socket.inet_pton(socket.AF_INET, text)
    except (OSError, ValueError):
        return False
    return True


def _endpoint(raw: Object, port: int, settings: ProxySettings) -> Endpoint:
    conditions = raw.get("conditions") or {}
    hints = raw.get("hints") or {}
    ready = conditions.get("ready")
    ready = True if ready is None else bool(ready)
    serving = conditions.get("serving")
    return Endpoint(
        # All addresses of an endpoint are the same; consumers use the first.
        raw["addresses"][0],
        port,
        ready=ready,
        serving=ready if serving is None else bool(serving),
        terminating=bool(conditions.get("terminating")),
        local=raw.get("nodeName") == settings.node_name,
        zones=tuple(zone["name"] for zone in hints.get("forZones") or ()),
        nodes=tuple(node["name"] for node in hints.get("forNodes") or ()),
    )


def usable(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    """The ready ones; if there is none, those that serve while they terminate."""
    endpoints = list(endpoints)
    ready = [endpoint for endpoint in endpoints if endpoint.ready]
    return ready or [endpoint for endpoint in endpoints if endpoint.serving and endpoint.terminating]


def cluster_wide(endpoints: list[Endpoint], settings: ProxySettings) -> list[Endpoint]:
    """Where traffic goes that any node may answer."""
    ready = [endpoint for endpoint in endpoints if endpoint.ready]
    if not ready:
        return usable(endpoints)
    if all(endpoint.nodes for endpoint in ready):
        hinted = [endpoint for endpoint in ready if settings.node_name in endpoint.nodes]
        if hinted:
            return hinted
    if settings.zone and all(endpoint.zones for endpoint in ready):
        return [endpoint for endpoint in ready if settings.zone in endpoint.zones] or ready
    return ready


def on_this_node(endpoints: list[Endpoint]) -> list[Endpoint]:
    """Where traffic goes that may not leave the node."""
    return usable(endpoint for endpoint in endpoints if endpoint.local)
