"""
Cluster addresses and node ports of Services.

What is taken is read from the stored Services at start and followed from then on, so nothing has to be repaired after a
crash: an address belongs to the Service that says so, and to nobody else. A request reserves what it needs before its
write and lets it go again if the write fails.

The cluster is single-stack IPv4: PreferDualStack gives one address, RequireDualStack is refused, and only headless
Services without a selector may name both families, as in Kubernetes.
"""

from __future__ import annotations

import ipaddress
import itertools
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from tiphys.api import errors
from tiphys.apiserver.call import Object
from tiphys.apiserver.records import Record
from tiphys.apiserver.service_ranges import ServiceRanges
from tiphys.apiserver.watchers import Change

DEFAULT_SERVICE_CIDR = "10.96.0.0/12"
NODE_PORTS = (30000, 32767)
SERVICES_PREFIX = "/registry/services/specs/"
# Draws before the whole range is searched in order.
RANDOM_TRIES = 64
_WITH_ADDRESS = frozenset(("ClusterIP", "NodePort", "LoadBalancer", ""))


@dataclass(slots=True)
class Reservation:
    """What one request took; `release` gives it back when the write did not happen."""

    undo: list[Callable[[], None]] = field(default_factory=list)

    def release(self) -> None:
        for step in self.undo:
            step()
        self.undo.clear()


class ServiceAllocator:
    """Follows the cache (`follow` is one of its listeners) and serves creates and updates of Services."""

    def __init__(self, cidr: str = DEFAULT_SERVICE_CIDR, node_ports: tuple[int, int] = NODE_PORTS) -> None:
        self.ranges = ServiceRanges(cidr)
        self._first_port, self._last_port = node_ports
        # Who holds it: a storage key, or "" while it is only reserved.
        self._addresses: dict[str, str] = {}
        self._ports: dict[int, str] = {}

    @property
    def prefix(self) -> str:
        """Where Services are stored."""
        return SERVICES_PREFIX

    def holder_of(self, address: str) -> tuple[str, str] | None:
        """(namespace, name) of the Service that holds an address; None if none does for good."""
        key = self._addresses.get(address, "").removeprefix(SERVICES_PREFIX)
        namespace, slash, name = key.partition("/")
        return (namespace, name) if slash else None

    # ── following the store ──────────────────────────────────────────────────────────────────────────────────────

    def load(self, records: Iterable[Record]) -> None:
        """Take what the stored Services hold."""
        for record in records:
            self._hold(record)

    def follow(self, change: Change) -> None:
        """Take and give back what a committed change says."""
        self.ranges.follow(change)
        if not change.record.key.startswith(SERVICES_PREFIX):
            return
        if change.previous is not None:
            self._let_go(change.previous)
        if not change.deleted:
            self._hold(change.record)

    def _hold(self, record: Record) -> None:
        obj = record.object
        for address in addresses_of(obj):
            self._addresses[address] = record.key
        for port in _ports_of(obj):
            self._ports[port] = record.key

    def _let_go(self, record: Record) -> None:
        obj = record.object
        for address in addresses_of(obj):
            if self._addresses.get(address) == record.key:
                del self._addresses[address]
        for port in _ports_of(obj):
            if self._ports.get(port) == record.key:
                del self._ports[port]

    # ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────

    def create(self, service: Object) -> Reservation:
        """Fill a new Service's addresses and ports."""
        spec, reservation = service.setdefault("spec", {}), Reservation()
        if spec.get("clusterIP") and not spec.get("clusterIPs"):
            spec["clusterIPs"] = [spec["clusterIP"]]
        return self._allocate(service, None, reservation)

    def update(self, service: Object, old: Object) -> Reservation:
        """Keep what the client left out, take what is new. Old values are given back when the change is committed."""
        _normalize_addresses(service["spec"], old["spec"])
        _keep_allocated(service["spec"], old["spec"])
        return self._allocate(service, old, Reservation())

    def _allocate(self, service: Object, old: Object | None, reservation: Reservation) -> Reservation:
        try:
            self._families(service)
            self._cluster_address(service, old, reservation)
            self._node_ports(service, old, reservation)
            self._health_check_port(service, old, reservation)
        except errors.StatusError:
            reservation.release()
            raise
        return reservation

    def _families(self, service: Object) -> None:
        spec = service["spec"]
        if spec.get("type") == "ExternalName":
            return
        headless = spec.get("clusterIP") == "None"
        if headless and not spec.get("selector"):
            families = spec["ipFamilies"] = spec.get("ipFamilies") or ["IPv4"]
            if len(families) < 2 and spec.get("ipFamilyPolicy") != "SingleStack":
                families.append("IPv6" if families[0] == "IPv4" else "IPv4")
            spec.setdefault("ipFamilyPolicy", "RequireDualStack")
            return
        found: list[tuple[str, Any, str]] = []
        if spec.get("ipFamilyPolicy") == "RequireDualStack":
            why = "this cluster is not configured for dual-stack services"
            found.append(("spec.ipFamilyPolicy", "RequireDualStack", why))
        for index, family in enumerate(spec.get("ipFamilies") or ()):
            if family != "IPv4":
                found.append((f"spec.ipFamilies[{index}]", family, "not configured on this cluster"))
        if found:
            raise _invalid(service, found)
        if not spec.get("ipFamilies"):
            spec["ipFamilies"] = ["IPv4"]
        spec.setdefault("ipFamilyPolicy", "SingleStack")

    def _cluster_address(self, service: Object, old: Object | None, reservation: Reservation) -> None:
        spec = service["spec"]
        if spec.get("type", "") not in _WITH_ADDRESS or spec.get("clusterIP") == "None":
            return
        held = addresses_of(old) if old is not None else []
        wanted = spec.get("clusterIP") or next(iter(spec.get("clusterIPs") or ()), "")
        if wanted and wanted in held:
            return
        if old is not None and held:
            return  # a changed address is refused by validation
        if wanted:
            self._take_address(service, wanted, reservation)
        else:
            spec["clusterIP"] = self._free_address()
            self._reserve(self._addresses, spec["clusterIP"], reservation)
        spec["clusterIPs"] = [spec["clusterIP"]]

    def _take_address(self, service: Object, wanted: str, reservation: Reservation) -> None:
        try:
            inside = ipaddress.IPv4Address(wanted) in self.ranges
        except ValueError:
            return  # no address at all: validation says so
        why = "" if inside else "the provided network does not match the current range"
        if self._is_taken(wanted):
            why = "provided IP is already allocated"
        if why:
            text = f"failed to allocate IP {wanted}: {why}"
            raise _invalid(service, [("spec.clusterIPs", service["spec"].get("clusterIPs") or [wanted], text)])
        self._reserve(self._addresses, wanted, reservation)

    def _free_address(self) -> str:
        for network in self.ranges.networks():
            found = self._free_in(network)
            if found:
                return found
        raise errors.internal("failed to allocate a serviceIP: range is full")

    def _free_in(self, network: ipaddress.IPv4Network) -> str:
        """Empty if it is full."""
        size = network.num_addresses - 2
        # The low part is left to addresses that people choose, as in Kubernetes.
        low = min(max(16, size // 16), 256) if size > 16 else 0
        first = int(network.network_address) + 1
        drawn = (random.randrange(low, size) for _ in range(RANDOM_TRIES if size > low else 0))
        for offset in itertools.chain(drawn, range(low, size), range(low)):
            address = str(ipaddress.IPv4Address(first + offset))
            if not self._is_taken(address):
                return address
        return ""

    def _is_taken(self, address: str) -> bool:
        return address in self._addresses or self.ranges.is_reserved(address)

    def _reserve(self, taken: dict[Any, str], value: Any, reservation: Reservation) -> None:
        taken[value] = ""

        def undo() -> None:
            if taken.get(value) == "":
                del taken[value]

        reservation.undo.append(undo)

    def _node_ports(self, service: Object, old: Object | None, reservation: Reservation) -> None:
        spec = service["spec"]
        if not _needs_node_ports(spec):
            return
        held = set(_ports_of(old)) if old is not None and _needs_node_ports(old["spec"]) else set()
        seen: set[tuple[str, int]] = set()
        mine: set[int] = set()
        for index, port in enumerate(spec.get("ports") or ()):
            number = port.get("nodePort") or 0
            if number and number not in held and number not in mine:
                self._take_port(service, f"spec.ports[{index}].nodePort", number, reservation)
            elif not number and _allocates_node_ports(spec):
                number = port["nodePort"] = self._same_number(spec, port, mine) or self._free_port()
                if number not in mine:
                    self._reserve(self._ports, number, reservation)
            if number:
                both = (port.get("protocol", "TCP"), number)
                if both in seen:
                    raise self._duplicate(service, both, index, is_update=old is not None)
                seen.add(both)
                mine.add(number)

    @staticmethod
    def _same_number(spec: Object, port: Object, mine: set[int]) -> int:
        """Another protocol on the same port gets the same node port."""
        for other in spec.get("ports") or ():
            if other is not port and other.get("port") == port.get("port") and other.get("nodePort") in mine:
                return int(other["nodePort"])
        return 0

    @staticmethod
    def _duplicate(service: Object, both: tuple[str, int], index: int, *, is_update: bool) -> errors.StatusError:
        if is_update:
            return errors.failure(500, "", f"duplicate nodePort: {{{both[0]} {both[1]}}}")
        return _invalid(service, [(f"spec.ports[{index}].nodePort", both[1], "provided port is already allocated")])

    def _take_port(self, service: Object, path: str, number: int, reservation: Reservation) -> None:
        why = ""
        if not self._first_port <= number <= self._last_port:
            valid = f"{self._first_port}-{self._last_port}"
            why = f"provided port is not in the valid range. The range of valid ports is {valid}"
        elif number in self._ports:
            why = "provided port is already allocated"
        if why:
            raise _invalid(service, [(path, number, why)])
        self._reserve(self._ports, number, reservation)

    def _free_port(self) -> int:
        for _ in range(RANDOM_TRIES):
            number = random.randint(self._first_port, self._last_port)
            if number not in self._ports:
                return number
        for number in range(self._first_port, self._last_port + 1):
            if number not in self._ports:
                return number
        raise errors.internal("failed to allocate a nodePort: range is full")

    def _health_check_port(self, service: Object, old: Object | None, reservation: Reservation) -> None:
        spec = service["spec"]
        if not _needs_health_check_port(spec):
            if old is not None and _needs_health_check_port(old["spec"]):
                spec.pop("healthCheckNodePort", None)
            return
        number = spec.get("healthCheckNodePort") or 0
        if old is not None and number and number == old["spec"].get("healthCheckNodePort"):
            return
        if number:
            self._take_port(service, "spec.healthCheckNodePort", number, reservation)
        else:
            spec["healthCheckNodePort"] = self._free_port()
            self._reserve(self._ports, spec["healthCheckNodePort"], reservation)


def _invalid(service: Object, found: list[tuple[str, Any, str]]) -> errors.StatusError:
    texts = [f"Invalid value: {orjson.dumps(value).decode()}: {why}" for _, value, why in found]
    causes = [
        {"reason": "FieldValueInvalid", "message": text, "field": path}
        for (path, _, _), text in zip(found, texts, strict=True)
    ]
    rendered = [f"{cause['field']}: {cause['message']}" for cause in causes]
    return errors.invalid("Service", "", service["metadata"].get("name", ""), rendered, causes)


def addresses_of(service: Object) -> list[str]:
    """The cluster addresses that a Service says it has."""
    spec = service.get("spec") or {}
    listed = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    return [address for address in listed if address not in ("", "None")]


def _ports_of(service: Object) -> list[int]:
    spec = service.get("spec") or {}
    ports = [port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")]
    if spec.get("healthCheckNodePort"):
        ports.append(spec["healthCheckNodePort"])
    return ports


def _needs_address(spec: Object) -> bool:
    return spec.get("type", "") in _WITH_ADDRESS


def _needs_node_ports(spec: Object) -> bool:
    return spec.get("type") in ("NodePort", "LoadBalancer")


def _allocates_node_ports(spec: Object) -> bool:
    return spec.get("type") == "NodePort" or spec.get("allocateLoadBalancerNodePorts") is not False


def _needs_health_check_port(spec: Object) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _normalize_addresses(spec: Object, old: Object) -> None:
    """Clients that know only one of clusterIP and clusterIPs mean both."""
    if spec.get("clusterIP") == old.get("clusterIP") or spec.get("clusterIPs") != old.get("clusterIPs"):
        if spec.get("clusterIP") and not spec.get("clusterIPs"):
            spec["clusterIPs"] = [spec["clusterIP"]]
        return
    if spec.get("clusterIP"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    else:
        spec.pop("clusterIPs", None)


def _keep_allocated(spec: Object, old: Object) -> None:
    """What the server once chose stays when the client leaves it out."""
    if _needs_address(old) and _needs_address(spec) and old.get("clusterIP"):
        spec["clusterIP"] = spec.get("clusterIP") or old["clusterIP"]
        if not spec.get("clusterIPs") and spec["clusterIP"] == old["clusterIP"] and old.get("clusterIPs"):
            spec["clusterIPs"] = list(old["clusterIPs"])
    if _needs_node_ports(old) and _needs_node_ports(spec):
        _keep_node_ports(spec, old)
    if _needs_health_check_port(old) and _needs_health_check_port(spec) and old.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = spec.get("healthCheckNodePort") or old["healthCheckNodePort"]


def _keep_node_ports(spec: Object, old: Object) -> None:
    before = {port.get("nodePort") for port in old.get("ports") or ()}
    used = {port.get("nodePort") for port in spec.get("ports") or ()} & before
    by_name = {port.get("name", ""): port.get("nodePort", 0) for port in old.get("ports") or ()}
    for port in spec.get("ports") or ():
        kept = by_name.get(port.get("name", ""), 0)
        if not port.get("nodePort") and kept and kept not in used:
            port["nodePort"] = kept
