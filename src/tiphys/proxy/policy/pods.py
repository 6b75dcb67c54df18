"""
What one pod adds to the packet rules because of network policies. Pure.

A pod of this node that policies select adds its element in the maps of isolated pods and the chain that the element
leads to. Every pod, of whichever node, adds its address to the sets of peers that it belongs to.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tiphys.api.objects import labels_of, namespace_of
from tiphys.api.pods import FINISHED
from tiphys.network.rules import Chain, Change, PutChain, PutElements, Ruleset
from tiphys.proxy.endpoints import PROTOCOLS, is_ipv4
from tiphys.proxy.policy import layout
from tiphys.proxy.policy.rules import NamedPort, Peers, Policy

Object = Mapping[str, Any]
ANYWHERE = ""


@dataclass(frozen=True, slots=True)
class Placed:
    """A pod with an address of its own; `here` if it runs on this node."""

    pod: Object
    address: str
    here: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """
    All policies, filed so that one pod asks few of them: those of its namespace, the sets of peers that can only hold
    pods of its namespace, and those that can hold any pod.
    """

    policies: Mapping[str, list[Policy]]
    peers: Mapping[str, Mapping[str, Peers]]
    ports: Mapping[str, NamedPort]

    @classmethod
    def of(cls, policies: Iterable[Policy]) -> Standing:
        by_namespace: defaultdict[str, list[Policy]] = defaultdict(list)
        peers: defaultdict[str, dict[str, Peers]] = defaultdict(dict)
        ports: dict[str, NamedPort] = {}
        for policy in policies:
            by_namespace[policy.namespace].append(policy)
            ports |= {port.name: port for port in policy.ports}
            for one in policy.peers:
                peers[policy.namespace if one.is_local else ANYWHERE][one.name] = one
        return cls(by_namespace, peers, ports)

    def selecting(self, pod: Object) -> list[Policy]:
        namespace, labels = namespace_of(pod), labels_of(pod)
        return [policy for policy in self.policies.get(namespace, ()) if policy.selects(namespace, labels)]

    def including(self, pod: Object, namespace_labels: Mapping[str, str]) -> list[Peers]:
        namespace, labels = namespace_of(pod), labels_of(pod)
        asked = [peers for place in (namespace, ANYWHERE) for peers in self.peers.get(place, {}).values()]
        return [
            peers
            for peers in asked
            if any(scope.includes(namespace, namespace_labels, labels) for scope in peers.scopes)
        ]


def address_of(pod: Object) -> str:
    """The IPv4 address that belongs to the pod alone; "" for one that has none, has ended, or uses its node's."""
    status = pod.get("status") or {}
    if pod["spec"].get("hostNetwork") or status.get("phase") in FINISHED:
        return ""
    addresses = [item["ip"] for item in status.get("podIPs") or ()] or [status.get("podIP") or ""]
    return next((address for address in addresses if is_ipv4(address)), "")


def declared(policy: Policy) -> Ruleset:
    """What a policy adds by itself: the sets that its rules ask, and what all policies share."""
    changes: list[Change] = layout.base()
    changes += [layout.addresses(peers.name) for peers in policy.peers]
    changes += [layout.ports(port.name) for port in policy.ports]
    return Ruleset.of(changes)


def rules_of(placed: Placed, namespace_labels: Mapping[str, str], standing: Standing) -> Ruleset:
    """The elements and chains of one pod; empty for one that no policy speaks of."""
    changes = _isolation(placed, standing.selecting(placed.pod)) if placed.here else []
    changes += _membership(placed, namespace_labels, standing)
    ruleset = Ruleset()
    for change in changes:
        if isinstance(change, PutElements):  # the policies declare the sets
            ruleset.elements.setdefault(change.collection, {})
        ruleset.perform(change)
    return ruleset


def _isolation(placed: Placed, policies: list[Policy]) -> list[Change]:
    changes: list[Change] = []
    for collection, prefix, listed in (
        (layout.INGRESS, "in", [policy.ingress for policy in policies]),
        (layout.EGRESS, "out", [policy.egress for policy in policies]),
    ):
        ruling = [rules for rules in listed if rules is not None]
        if ruling:
            chain = _chain(prefix, ruling)
            changes += [PutChain(chain), PutElements(collection, {placed.address: f"jump {chain.name}"})]
    if changes:
        changes.append(PutElements(layout.ITSELF, {f"{placed.address} . {placed.address}": ""}))
    return changes


def _chain(prefix: str, ruling: list[tuple[str, ...]]) -> Chain:
    """What any of the policies allows. Named after its content: pods with the same rules share it."""
    allowed = sorted({line for rules in ruling for line in rules})
    if layout.ALLOW in allowed:
        allowed = [layout.ALLOW]
    text = "\n".join(allowed)
    return Chain(f"{prefix}-{hashlib.sha256(text.encode()).hexdigest()[:12]}", (*allowed, layout.DENY))


def _membership(placed: Placed, namespace_labels: Mapping[str, str], standing: Standing) -> list[Change]:
    changes: list[Change] = [
        PutElements(peers.name, {placed.address: ""}) for peers in standing.including(placed.pod, namespace_labels)
    ]
    for port in standing.ports.values():
        numbers = _numbers(placed.pod, port.port, port.protocol)
        keys = {f"{placed.address} . {port.protocol} . {number}": "" for number in numbers}
        changes += [PutElements(port.name, keys)] if keys else []
    return changes


def _numbers(pod: Object, name: str, protocol: str) -> list[int]:
    """Sidecars have ports too."""
    containers = [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
    return [
        int(port["containerPort"])
        for container in containers
        for port in container.get("ports") or ()
        if port.get("name") == name and PROTOCOLS[port.get("protocol") or "TCP"] == protocol
    ]
