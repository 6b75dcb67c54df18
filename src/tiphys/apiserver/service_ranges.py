"""
Which addresses Services may have: the range of the settings, those of ServiceCIDR objects, without what others hold.

A ServiceCIDR counts while it is Ready (or nobody has said yet) and is not being deleted. An IPAddress object that
somebody made by hand reserves its address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from tiphys.api import resources
from tiphys.api.objects import condition_of, is_deleting, labels_of, name_of
from tiphys.apiserver.call import Object
from tiphys.apiserver.records import Record, prefix_of
from tiphys.apiserver.watchers import Change

RANGES = resources.get("networking.k8s.io", "v1", "servicecidrs")
ADDRESSES = resources.get("networking.k8s.io", "v1", "ipaddresses")
MANAGED_BY, MANAGER = "ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io"


class ServiceRanges:
    """Told of the two kinds by `load` and `follow`; `cidr` is always there."""

    def __init__(self, cidr: str) -> None:
        self._first = ipaddress.IPv4Network(cidr)
        self._more: dict[str, ipaddress.IPv4Network] = {}
        self._reserved: set[str] = set()

    def load(self, records: Iterable[Record]) -> None:
        """Take what is stored."""
        for record in records:
            self._hold(record)

    def follow(self, change: Change) -> None:
        """Take a committed change."""
        if not change.record.key.startswith((prefix_of(RANGES), prefix_of(ADDRESSES))):
            return
        if change.deleted:
            name = change.record.key.rpartition("/")[2]
            (self._more.pop(name, None) if _is_range(change.record) else self._reserved.discard(name))
        else:
            self._hold(change.record)

    def networks(self) -> Iterator[ipaddress.IPv4Network]:
        """The range of the settings first, then the others by their names."""
        yield self._first
        for _, network in sorted(self._more.items()):
            if network != self._first:
                yield network

    def __contains__(self, address: ipaddress.IPv4Address) -> bool:
        return any(address in network for network in self.networks())

    def is_reserved(self, address: str) -> bool:
        """Whether somebody holds it by hand."""
        return address in self._reserved

    def _hold(self, record: Record) -> None:
        obj = record.object
        if _is_range(record):
            self._more.pop(name_of(obj), None)
            ranges = [text for text in obj["spec"].get("cidrs") or () if ":" not in text]
            if ranges and _is_usable(obj):
                self._more[name_of(obj)] = ipaddress.IPv4Network(ranges[0])
        elif labels_of(obj).get(MANAGED_BY) != MANAGER:
            self._reserved.add(name_of(obj))


def _is_range(record: Record) -> bool:
    return record.key.startswith(prefix_of(RANGES))


def _is_usable(obj: Object) -> bool:
    ready = condition_of(obj, "Ready")
    return not is_deleting(obj) and (ready is None or ready["status"] == "True")
