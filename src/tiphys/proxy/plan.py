"""
What one Service adds to the packet rules of one node. Pure: objects in, a Ruleset out.

The answer depends on the Service and its EndpointSlices alone, so an event costs the work of one Service. `claims.py`
joins the answers of all.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tiphys.api.objects import labels_of, name_of, namespace_of
from tiphys.network.rules import Chain, Change, Collection, PutChain, PutCollection, PutElements, Ruleset
from tiphys.proxy import layout
from tiphys.proxy.endpoints import Endpoint, cluster_wide, is_ipv4, of_port, on_this_node, protocol_of
from tiphys.proxy.layout import Place
from tiphys.proxy.settings import ProxySettings

Object = Mapping[str, Any]

PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
AFFINITY_SECONDS = 10800


@dataclass(frozen=True, slots=True)
class Choice:
    """
    The endpoints behind a destination. `otherwise` is the verdict where there are none.

    `affinity` names the set prefix of a Service that remembers its clients, "" for none.
    """

    endpoints: tuple[Endpoint, ...]
    otherwise: str
    affinity: str = ""
    affinity_seconds: int = 0


def rules_of(service: Object, slices: Iterable[Object], settings: ProxySettings) -> Ruleset:
    """The chains, sets and elements of one Service. Empty for those that need none (headless, ExternalName …)."""
    ruleset = Ruleset()
    if not is_proxied(service):
        return ruleset
    slices = list(slices)
    for port in service["spec"].get("ports") or ():
        for change in _port(service, port, of_port(slices, port, settings), settings):
            if isinstance(change, PutElements):  # the shared maps are declared elsewhere
                ruleset.elements.setdefault(change.collection, {})
            ruleset.perform(change)
    return ruleset


def is_proxied(service: Object) -> bool:
    """Whether the Service has a virtual IPv4 address that this proxy is to serve."""
    spec = service["spec"]
    return (
        spec.get("type") != "ExternalName" and PROXY_NAME_LABEL not in labels_of(service) and bool(_cluster_ips(spec))
    )


def _port(service: Object, port: Object, endpoints: list[Endpoint], settings: ProxySettings) -> list[Change]:
    """Everything that one port of a Service adds."""
    spec = service["spec"]
    everywhere, here = cluster_wide(endpoints, settings), on_this_node(endpoints)
    # With endpoints elsewhere the sender may try again later: no refusal, silence.
    if_none_here = layout.DISCARD if everywhere else layout.REFUSE
    anywhere = _choice(service, port, everywhere, layout.REFUSE)
    local = _choice(service, port, here, if_none_here, "-local")
    protocol = protocol_of(port)
    transport = f"{protocol} . {int(port['port'])}"

    inside = local if spec.get("internalTrafficPolicy") == "Local" else anywhere
    changes = [
        change
        for address in _cluster_ips(spec)
        for change in _lead(layout.SERVICES, f"{address} . {transport}", inside)
    ]
    stays = spec.get("externalTrafficPolicy") == "Local"
    for address in _external_addresses(service):
        key = f"{address} . {transport}"
        changes += _lead(layout.SERVICES, key, anywhere)
        changes += _lead(layout.OUTSIDE_SERVICES, key, local) if stays else [_put(layout.MASQUERADE, key)]
    if port.get("nodePort"):
        key = f"{protocol} . {int(port['nodePort'])}"
        changes += _lead(layout.PORTS, key, anywhere)
        if stays:
            changes += _lead(layout.OUTSIDE_PORTS, key, local)
        else:
            changes.append(_put(layout.MASQUERADE_PORTS, key))
    return changes + _source_ranges(service, transport)


def _choice(service: Object, port: Object, endpoints: list[Endpoint], otherwise: str, suffix: str = "") -> Choice:
    spec = service["spec"]
    kept = tuple(endpoints[: layout.ENDPOINTS_MAX])
    if spec.get("sessionAffinity") != "ClientIP":
        return Choice(kept, otherwise)
    configured = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds")
    name = (
        f"affine-{_digest(namespace_of(service), name_of(service), str(port['port']), port.get('protocol') or 'TCP')}"
    )
    return Choice(kept, otherwise, name + suffix, configured or AFFINITY_SECONDS)


def _lead(place: Place, key: str, choice: Choice) -> list[Change]:
    """Make a destination lead to the chosen endpoints, or to the verdict where there are none."""
    if not choice.endpoints:
        return [_put(place.refused, key, choice.otherwise)]
    if choice.affinity:
        return [*_affine(choice), _put(place.verdicts, key, f"goto {choice.affinity}")]
    count = len(choice.endpoints)
    picker = place.picker(count)
    numbered = {f"{key} . {number}": endpoint.target for number, endpoint in enumerate(choice.endpoints)}
    return [
        PutChain(picker),
        PutElements(place.endpoints, numbered),
        _put(place.verdicts, key, f"goto {picker.name}"),
    ]


def _affine(choice: Choice) -> list[Change]:
    """
    A chain that leads a client to the endpoint it had, else to one drawn at random.

    Each endpoint has its set of clients, which packets fill and time empties; it goes with the endpoint.
    """
    changes: list[Change] = []
    known, drawn = [], []
    for number, endpoint in enumerate(choice.endpoints):
        clients = f"{choice.affinity}-{_digest(endpoint.target)}"
        options = f"flags dynamic, timeout; size 65536; timeout {choice.affinity_seconds}s;"
        update = f"update @{clients} {{ ip saddr timeout {choice.affinity_seconds}s }}"
        target = f"{layout.TRANSPORTS} dnat ip to {endpoint.address}:{endpoint.port}"
        changes.append(PutCollection(Collection(clients, "ip saddr", options=options)))
        changes.append(PutChain(Chain(clients, (f"{update}", target))))
        known.append(f"ip saddr @{clients} goto {clients}")
        drawn.append(f"{number} : goto {clients}")
    draw = f"numgen random mod {len(drawn)} vmap {{ {', '.join(drawn)} }}"
    return [*changes, PutChain(Chain(choice.affinity, (*known, draw)))]


def _source_ranges(service: Object, transport: str) -> list[Change]:
    """Load balancer addresses that only some sources may reach."""
    spec = service["spec"]
    ranges = spec.get("loadBalancerSourceRanges")
    addresses = _load_balancer_addresses(service)
    if not ranges or not addresses:
        return []
    name = f"sources-{_digest(namespace_of(service), name_of(service))}"
    allowed = ", ".join(str(network) for network in _networks(ranges))
    guard = Chain(name, (f"ip saddr != {{ {allowed} }} drop" if allowed else "drop",))
    return [
        PutChain(guard),
        *(_put(layout.FIREWALL, f"{address} . {transport}", f"jump {name}") for address in addresses),
    ]


def _networks(ranges: Iterable[str]) -> list[ipaddress.IPv4Network]:
    """The IPv4 ones, without overlaps, which nft refuses in one set."""
    networks = []
    for text in ranges:
        try:
            networks.append(ipaddress.IPv4Network(text.strip(), strict=False))
        except ValueError:  # IPv6, or nonsense that no source can match
            continue
    return list(ipaddress.collapse_addresses(networks))


def _put(collection: str, key: str, value: str = "") -> PutElements:
    return PutElements(collection, {key: value})


def _cluster_ips(spec: Object) -> list[str]:
    addresses = spec.get("clusterIPs") or [spec.get("clusterIP") or ""]
    return [address for address in addresses if is_ipv4(address)]


def _external_addresses(service: Object) -> list[str]:
    external = [address for address in service["spec"].get("externalIPs") or () if is_ipv4(address)]
    return list(dict.fromkeys(external + _load_balancer_addresses(service)))


def _load_balancer_addresses(service: Object) -> list[str]:
    """Those that are to be served on nodes; with `ipMode: Proxy` the balancer itself does everything."""
    if service["spec"].get("type") != "LoadBalancer":
        return []
    given = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    addresses = [item.get("ip") or "" for item in given if (item.get("ipMode") or "VIP") == "VIP"]
    return [address for address in addresses if is_ipv4(address)]


def _digest(*words: str) -> str:
    """A short name: nft's words may have 255 characters, and not all of ours."""
    return hashlib.sha256("/".join(words).encode()).hexdigest()[:12]
