"""
The packet rules that count what comes to Services. Pure: Services in, the text of one nftables table out.

A table of its own, which exists only while somebody wants to know: nobody else's packets meet a rule, and the rules of
Services can be replaced without touching a count.

*Connections* are what the NAT hook sees: the first packet of each. *Requests* are turns of a conversation: the client
speaks after the server has spoken. A bit of the connection's mark says whose turn it was; TCP's PSH flag ends what one
side says. That is each request of HTTP/1.1, Redis or a database, on however few connections. What goes on side by side
in one connection (HTTP/2, pipelining) counts once a turn, and a TLS handshake is a turn or two.

Both look at packets before destinations are translated, so a Service's own addresses and ports are what they find.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tiphys.proxy import layout
from tiphys.proxy.endpoints import is_ipv4, protocol_of

Object = Mapping[str, Any]
# (set, element)
Place = tuple[str, str]

CONNECTIONS, REQUESTS = "connections", "requests"
KINDS = (CONNECTIONS, REQUESTS)
# The bit of a connection's mark: the client has spoken last.
ASKED = "0x02000000"
NOT_ASKED = "0xfdffffff"
_COUNTED = re.compile(r"(\S+(?: \. \S+)+) counter packets (\d+)")


def places_of(service: Object, kind: str) -> list[Place]:
    """Where in the sets of a kind a Service is counted; nowhere if it has no virtual address."""
    spec = service["spec"]
    found = []
    for port in spec.get("ports") or ():
        transport = f"{protocol_of(port)} . {int(port['port'])}"
        found += [(kind, f"{address} . {transport}") for address in _addresses(service)]
        if port.get("nodePort"):
            found.append((_ports(kind), f"{protocol_of(port)} . {int(port['nodePort'])}"))
    return found


def _addresses(service: Object) -> list[str]:
    spec = service["spec"]
    own = spec.get("clusterIPs") or [spec.get("clusterIP") or ""]
    given = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    everything = [*own, *(spec.get("externalIPs") or ()), *(one.get("ip") or "" for one in given)]
    return [address for address in dict.fromkeys(everything) if is_ipv4(address)]


def table(name: str, places: Iterable[Place]) -> str:
    """The text that makes the table count at these places and at no others, with counts of zero."""
    elements: dict[str, list[str]] = {}
    for collection, element in sorted(set(places)):
        elements.setdefault(collection, []).append(element)
    lines = [f"add table ip {name}", f"delete table ip {name}", f"add table ip {name}"]
    for kind in KINDS:
        if kind in elements or _ports(kind) in elements:
            lines += _sets(name, kind) + (_connections(name) if kind == CONNECTIONS else _requests(name))
    for collection, listed in elements.items():
        lines.append(f"add element ip {name} {collection} {{ {', '.join(listed)} }}")
    return "\n".join(lines)


def removal(name: str) -> str:
    """The text that takes the table away, whether it is there or not."""
    return f"add table ip {name}\ndelete table ip {name}"


def counts(text: str) -> dict[str, int]:
    """The packets that each element of a listed set has counted."""
    return {element: int(packets) for element, packets in _COUNTED.findall(text)}


def _ports(kind: str) -> str:
    return f"port-{kind}"


def _sets(name: str, kind: str) -> list[str]:
    return [
        f"add set ip {name} {kind} {{ typeof {layout.VIRTUAL}; counter; }}",
        f"add set ip {name} {_ports(kind)} {{ typeof {layout.PORT}; counter; }}",
    ]


def _connections(name: str) -> list[str]:
    lines = [f"add chain ip {name} first"]
    lines += [f"add rule ip {name} first {rule}" for rule in _lookups(CONNECTIONS)]
    for hook in ("prerouting", "output"):
        lines.append(f"add chain ip {name} first-{hook} {{ type nat hook {hook} priority -105; policy accept; }}")
        lines.append(f"add rule ip {name} first-{hook} jump first")
    return lines


def _requests(name: str) -> list[str]:
    talk = (
        "meta l4proto != { tcp, udp } return",
        "tcp flags & psh != psh return",
        f"ct direction reply ct mark and {ASKED} != 0 ct mark set ct mark and {NOT_ASKED}",
        f"ct direction original ct mark and {ASKED} == 0 jump turn",
    )
    lines = [f"add chain ip {name} turn", f"add chain ip {name} talk"]
    lines += [f"add rule ip {name} turn {rule} ct mark set ct mark or {ASKED} return" for rule in _lookups(REQUESTS)]
    lines += [f"add rule ip {name} talk {rule}" for rule in talk]
    for hook in ("prerouting", "output"):
        lines.append(f"add chain ip {name} talk-{hook} {{ type filter hook {hook} priority -150; policy accept; }}")
        lines.append(f"add rule ip {name} talk-{hook} jump talk")
    return lines


def _lookups(kind: str) -> tuple[str, str]:
    return f"{layout.VIRTUAL} @{kind}", f"{layout.LOCAL} {layout.PORT} @{_ports(kind)}"
