"""
The cluster's zone: which name has which records, kept by object, and the answer to a question. Pure.

A change of one object costs the work of that object. A name exists if it has records or if one below it has: then an
unknown type is "no data", else the name does not exist; both carry the zone's SOA, so that clients may remember it.
There are no wildcards.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

from tiphys.dns import records as build
from tiphys.dns.message import (
    AAAA,
    ANY,
    CNAME,
    NOERROR,
    NS,
    NXDOMAIN,
    SOA,
    SRV,
    TXT,
    A,
    Answer,
    Name,
    Query,
    Record,
    name_of,
)

VERSION = b"1.1.0"
REFRESH_SECONDS, RETRY_SECONDS, EXPIRE_SECONDS = 7200, 1800, 86400
# A chain of aliases inside of the zone is followed this far.
ALIASES_MAX = 8

Owner = Hashable


class Zone:
    """`serial` counts changes; it tells whether something computed from the zone still holds."""

    def __init__(self, domain: str, address: str, own_cidrs: Sequence[str] = ()) -> None:
        self.domain = name_of(domain)
        self.serial = 1
        self._own = [ipaddress.IPv4Network(cidr) for cidr in own_cidrs if ":" not in cidr]
        # name → type → owner → records
        self._names: dict[Name, dict[int, dict[Owner, list[Record]]]] = {}
        self._exists: Counter[Name] = Counter()
        self._owned: dict[Owner, tuple[list[Record], list[Name]]] = {}
        self._server = (b"ns", b"dns", *self.domain)
        self._set_up(address)

    def _set_up(self, address: str) -> None:
        fixed = [
            Record(self.domain, NS, build.TTL_SECONDS, self._server),
            Record((b"dns-version", *self.domain), TXT, build.TTL_SECONDS, bytes([len(VERSION)]) + VERSION),
        ]
        if build.is_address(address):
            fixed.append(build.address_record(self._server, address))
        self.put("the zone", fixed, [(b"svc", *self.domain), (b"pod", *self.domain)])

    # changing

    def put(self, owner: Owner, records: list[Record], names: Iterable[Name] = ()) -> bool:
        """Let `owner` have these records, and these names exist; says whether that changed anything."""
        listed = list(names)
        if self._owned.get(owner, ([], [])) == (records, listed):
            return False
        self._take(owner)
        if records or listed:
            self._owned[owner] = (records, listed)
        for record in records:
            self._names.setdefault(record.name, {}).setdefault(record.type, {}).setdefault(owner, []).append(record)
            self._count(record.name, 1)
        for name in listed:
            self._count(name, 1)
        self.serial += 1
        return True

    def remove(self, owner: Owner) -> bool:
        return self.put(owner, [])

    def _take(self, owner: Owner) -> None:
        records, names = self._owned.pop(owner, ([], []))
        for record in records:
            self._count(record.name, -1)
            kinds = self._names.get(record.name, {})
            owners = kinds.get(record.type, {})
            owners.pop(owner, None)
            if not owners:
                kinds.pop(record.type, None)
            if not kinds:
                self._names.pop(record.name, None)
        for name in names:
            self._count(name, -1)

    def _count(self, name: Name, step: int) -> None:
        """A name makes all above it exist, up to the top of the zone."""
        while True:
            self._exists[name] += step
            if not self._exists[name]:
                del self._exists[name]
            if len(name) <= len(self.domain):
                return
            name = name[1:]

    # answering

    def is_ours(self, name: Name) -> bool:
        """Whether this zone alone knows about the name; all others are asked upstream."""
        if name[-len(self.domain) :] == self.domain or name in self._names:
            return True
        address = build.reversed_address(name)
        return address is not None and any(address in network for network in self._own)

    def answer(self, query: Query) -> Answer:
        """The answer for a name that is ours. An alias to a name outside comes alone: the caller follows it."""
        found: list[Record] = []
        name = query.name
        for _ in range(ALIASES_MAX):
            records = self._find(name, query.type)
            found += records
            alias = records[0].data if records and records[0].type == CNAME != query.type else None
            if not isinstance(alias, tuple) or not self.is_ours(alias):  # type: ignore[arg-type]
                break
            name = alias  # type: ignore[assignment]
        if found:
            return Answer(NOERROR, found, (), self._extras(found))
        code = NOERROR if self._is_there(query.name) else NXDOMAIN
        return Answer(code, authority=[self._authority(query.name)])

    def _find(self, name: Name, kind: int) -> list[Record]:
        kinds = self._names.get(name)
        if kinds is None:
            pod = self._pod(name)
            return [pod] if pod is not None and kind in (pod.type, ANY) else []
        if kind == ANY:
            return [record for owners in kinds.values() for records in owners.values() for record in records]
        if kind == SOA and name == self.domain:
            return [self._authority(name)]
        owners = kinds.get(kind) or kinds.get(CNAME) or {}
        return [record for records in owners.values() for record in records]

    def _is_there(self, name: Name) -> bool:
        return name in self._exists or self._pod(name) is not None

    def _pod(self, name: Name) -> Record | None:
        """`10-42-0-5.shop.pod.cluster.local` spells its own answer, if there is such a namespace."""
        if len(name) != len(self.domain) + 3 or name[2] != b"pod" or name[1:] not in self._exists:
            return None
        address = build.undashed(name[0])
        return build.address_record(name, address) if address else None

    def _extras(self, found: Sequence[Record]) -> list[Record]:
        """The addresses of the targets of SRV and NS records."""
        targets: dict[Name, None] = {}
        for record in found:
            if record.type == SRV:
                targets[record.data[3]] = None  # type: ignore[index, misc]
            elif record.type == NS:
                targets[record.data] = None  # type: ignore[index]
        return [record for target in targets for kind in (A, AAAA) for record in self._find(target, kind)]

    def _authority(self, name: Name) -> Record:
        """The SOA of the zone that the name is in: ours, or that of reverse names."""
        zone = self.domain if name[-len(self.domain) :] == self.domain else name[-2:]
        numbers = (self.serial & 0xFFFFFFFF, REFRESH_SECONDS, RETRY_SECONDS, EXPIRE_SECONDS, build.TTL_SECONDS)
        return Record(zone, SOA, build.TTL_SECONDS, (self._server, (b"hostmaster", *self.domain), numbers))
