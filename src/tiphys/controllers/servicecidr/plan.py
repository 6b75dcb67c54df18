"""
Decide what a ServiceCIDR needs: its finalizer, its Ready condition, and its end. Pure.

One that is deleted stays until each of its addresses that is in use is in another range, too.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import condition_of, is_deleting, name_of, parse_timestamp, timestamp
from tiphys.reconcile.commands import Command, Requeue, Update

Object = dict[str, Any]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

RANGES = resources.get("networking.k8s.io", "v1", "servicecidrs")
ADDRESSES = resources.get("networking.k8s.io", "v1", "ipaddresses")
FINALIZER = "networking.k8s.io/service-cidr-finalizer"
READY_TEXT = "Kubernetes Service CIDR is ready"
IN_USE_TEXT = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"
# What was allocated while the deletion was on its way has appeared by then.
GRACE_SECONDS = 10.0


def plan(cidr: Object, others: Sequence[Object], addresses: Iterable[str], now: float) -> list[Command]:
    """`others` are the other ServiceCIDRs, `addresses` all that are in use."""
    finalizers = cidr["metadata"].get("finalizers") or []
    if not is_deleting(cidr):
        if FINALIZER not in finalizers:
            return [_with_finalizers(cidr, [*finalizers, FINALIZER])]
        return _told(cidr, ("True", "", READY_TEXT), now)
    if FINALIZER not in finalizers:
        return []
    if _is_needed(cidr, others, addresses):
        return _told(cidr, ("False", "Terminating", IN_USE_TEXT), now)
    left = parse_timestamp(cidr["metadata"]["deletionTimestamp"]) + GRACE_SECONDS - now
    if left > 0:
        return [Requeue(left)]
    return [_with_finalizers(cidr, [name for name in finalizers if name != FINALIZER])]


def networks_of(cidr: Object) -> list[Network]:
    """Its ranges."""
    return [ipaddress.ip_network(text) for text in (cidr.get("spec") or {}).get("cidrs") or ()]


def _is_needed(cidr: Object, others: Sequence[Object], addresses: Iterable[str]) -> bool:
    """Whether an address in use has no other range."""
    kept = [network for other in others if not is_deleting(other) for network in networks_of(other)]
    own = [network for network in networks_of(cidr) if not any(_covers(other, network) for other in kept)]
    used = (ipaddress.ip_address(text) for text in addresses) if own else iter(())
    return any(_has(own, address) and not _has(kept, address) for address in used)


def _covers(whole: Network, part: Network) -> bool:
    return whole.version == part.version and part.subnet_of(whole)  # type: ignore[arg-type]


def _has(networks: Iterable[Network], address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return any(address in network for network in networks)


def _with_finalizers(cidr: Object, finalizers: list[str]) -> Update:
    return Update(RANGES, {**cidr, "metadata": {**cidr["metadata"], "finalizers": finalizers}})


def _told(cidr: Object, told: tuple[str, str, str], now: float) -> list[Command]:
    """The Ready condition, where it does not say so yet."""
    status, reason, message = told
    held = condition_of(cidr, "Ready")
    if held is not None and (held["status"], held.get("reason", ""), held.get("message")) == told:
        return []
    since = held["lastTransitionTime"] if held is not None and held["status"] == status else timestamp(now)
    condition = {
        "type": "Ready", "status": status, "lastTransitionTime": since, "reason": reason, "message": message,
    }  # fmt: skip
    others = [each for each in (cidr.get("status") or {}).get("conditions") or () if each["type"] != "Ready"]
    return [Update(RANGES, {**cidr, "status": {"conditions": [*others, condition]}}, "status")]


def near(cidr: Object, address: str) -> bool:
    """Whether the address is in its ranges."""
    return _has(networks_of(cidr), ipaddress.ip_address(address))


def overlap(left: Object, right: Object) -> bool:
    """Whether one's end may wait for the other."""
    return name_of(left) != name_of(right) and any(
        a.overlaps(b) for a in networks_of(left) for b in networks_of(right) if a.version == b.version
    )
