"""
What one NetworkPolicy says, in nft's words. Pure: an object in, a Policy out.

A rule of the policy allows each of its peers on each of its ports. All its selectors together are one set of addresses,
named after what it selects, so that policies which ask for the same share it; its address blocks are written into the
rule. A named port means another number on each pod: it is a set of (address, protocol, port).
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from tiphys.api.objects import namespace_of
from tiphys.api.selectors import Selector, from_label_selector
from tiphys.proxy.endpoints import PROTOCOLS
from tiphys.proxy.policy import layout

Object = Mapping[str, Any]

TRANSPORTS = "meta l4proto . th dport"


@dataclass(frozen=True, slots=True)
class Scope:
    """Pods of one namespace, or of those whose labels `namespaces` selects."""

    pods: Selector
    namespace: str
    namespaces: Selector

    def includes(self, namespace: str, namespace_labels: Mapping[str, str], labels: Mapping[str, str]) -> bool:
        at_home = namespace == self.namespace if self.namespace else self.namespaces.matches(namespace_labels)
        return at_home and self.pods.matches(labels)


@dataclass(frozen=True, slots=True)
class Peers:
    """The set `name` holds the addresses of the pods in any of the scopes."""

    name: str
    scopes: tuple[Scope, ...]

    @property
    def is_local(self) -> bool:
        """Whether all are pods of one namespace, that of the policy."""
        return all(scope.namespace for scope in self.scopes)


@dataclass(frozen=True, slots=True)
class NamedPort:
    """The set `name` holds every pod that has a container port `port` of that protocol."""

    name: str
    port: str
    protocol: str


@dataclass(frozen=True, slots=True)
class Policy:
    """`ingress` and `egress` are the rules that allow; None leaves that direction of the selected pods as it was."""

    namespace: str
    selector: Selector
    ingress: tuple[str, ...] | None
    egress: tuple[str, ...] | None
    peers: tuple[Peers, ...]
    ports: tuple[NamedPort, ...]

    @property
    def is_local(self) -> bool:
        """Whether it speaks of pods in its own namespace alone."""
        return not self.ports and all(peers.is_local for peers in self.peers)

    def selects(self, namespace: str, labels: Mapping[str, str]) -> bool:
        return namespace == self.namespace and self.selector.matches(labels)


def read(policy: Object) -> Policy:
    """The policy as rules and the sets that they ask."""
    spec = policy["spec"]
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    asked = _Asked(namespace_of(policy))
    ingress = egress = None
    if "Ingress" in types:
        ingress = asked.rules(spec.get("ingress") or (), "from", "ip saddr")
    if "Egress" in types:
        egress = asked.rules(spec.get("egress") or (), "to", "ip daddr")
    selector = from_label_selector(spec.get("podSelector") or {})
    return Policy(
        namespace_of(policy), selector, ingress, egress, tuple(asked.peers.values()), tuple(asked.ports.values())
    )


class _Asked:
    """Gathers the sets that the rules of one policy ask."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self.peers: dict[str, Peers] = {}
        self.ports: dict[str, NamedPort] = {}

    def rules(self, given: Iterable[Object], side: str, other: str) -> tuple[str, ...]:
        """`other` is where a packet has the peer's address."""
        lines = [
            " ".join(part for part in (who, where, layout.ALLOW) if part)
            for rule in given
            for who in self._who(rule.get(side) or (), other)
            for where in self._where(rule.get("ports") or ())
        ]
        return tuple(dict.fromkeys(lines))

    def _who(self, peers: Iterable[Object], other: str) -> list[str]:
        """Conditions of which one must hold; one empty condition where no peer is named."""
        peers = list(peers)
        if not peers:
            return [""]
        scopes = [peer for peer in peers if peer.get("ipBlock") is None]
        found = [f"{other} @{self._set(scopes)}"] if scopes else []
        blocks = ", ".join(_blocks(peer["ipBlock"] for peer in peers if peer.get("ipBlock") is not None))
        return found + ([f"{other} {{ {blocks} }}"] if blocks else [])

    def _set(self, peers: list[Object]) -> str:
        plain = [{key: peer[key] for key in ("podSelector", "namespaceSelector") if key in peer} for peer in peers]
        home = "" if all(peer.get("namespaceSelector") is not None for peer in plain) else self._namespace
        name = f"peers-{_digest([home, plain])}"
        self.peers[name] = Peers(name, tuple(self._scope(peer) for peer in plain))
        return name

    def _scope(self, peer: Object) -> Scope:
        pods = from_label_selector(peer.get("podSelector") or {})
        if peer.get("namespaceSelector") is None:
            return Scope(pods, self._namespace, Selector(nothing=True))
        return Scope(pods, "", from_label_selector(peer["namespaceSelector"]))

    def _where(self, ports: Iterable[Object]) -> list[str]:
        """Conditions of which one must hold; one empty condition where no port is named."""
        ports = list(ports)
        if not ports:
            return [""]
        whole = sorted({_protocol(port) for port in ports if port.get("port") is None})
        numbers: dict[str, list[tuple[int, int]]] = {}
        for port in ports:
            if isinstance(port.get("port"), int) and _protocol(port) not in whole:
                numbers.setdefault(_protocol(port), []).append(
                    (port["port"], max(port.get("endPort") or 0, port["port"]))
                )
        names = [self._named(port) for port in ports if isinstance(port.get("port"), str)]
        found = [f"meta l4proto {protocol}" for protocol in whole]
        found += [f"{protocol} dport {{ {_ranges(spans)} }}" for protocol, spans in sorted(numbers.items())]
        return found + [f"ip daddr . {TRANSPORTS} @{name}" for name in sorted(set(names))]

    def _named(self, port: Object) -> str:
        protocol = _protocol(port)
        name = f"port-{protocol}-{port['port']}"
        self.ports[name] = NamedPort(name, port["port"], protocol)
        return name


def _protocol(port: Object) -> str:
    return PROTOCOLS[port.get("protocol") or "TCP"]


def _ranges(spans: list[tuple[int, int]]) -> str:
    """Joined where they touch: nft refuses overlaps in one set."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in joined)


def _blocks(blocks: Iterable[Object]) -> list[str]:
    """The IPv4 networks that are allowed: each block without its exceptions, all of them joined."""
    allowed: list[ipaddress.IPv4Network] = []
    for block in blocks:
        kept = _networks([block["cidr"]])
        for hole in _networks(block.get("except") or ()):
            kept = [part for network in kept for part in _without(network, hole)]
        allowed += kept
    return [str(network) for network in ipaddress.collapse_addresses(allowed)]


def _networks(texts: Iterable[str]) -> list[ipaddress.IPv4Network]:
    networks = (ipaddress.ip_network(text, strict=False) for text in texts)
    return [network for network in networks if isinstance(network, ipaddress.IPv4Network)]


def _without(network: ipaddress.IPv4Network, hole: ipaddress.IPv4Network) -> list[ipaddress.IPv4Network]:
    if not network.overlaps(hole):
        return [network]
    return [] if network.subnet_of(hole) else list(network.address_exclude(hole))


def _digest(value: Any) -> str:
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]
