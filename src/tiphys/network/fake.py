"""A Network in memory, for tests of what stands above the door. It keeps the same promises and touches nothing."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from tiphys.network.door import AddressesExhausted, Lease, PortForward, PortTaken


class FakeNetwork:
    """`ports` shows the forwards of each owner. Paths do not exist."""

    def __init__(self, cidr: str = "10.42.0.0/24") -> None:
        hosts = [str(host) for host in ipaddress.ip_network(cidr).hosts()]
        self.gateway = hosts[0]
        self.ports: dict[str, tuple[PortForward, ...]] = {}
        self.is_open = False
        self._free = hosts[1:]
        self._leases: dict[str, Lease] = {}

    async def open(self) -> None:
        self.is_open = True

    async def acquire(self, owner: str, ports: Sequence[PortForward] = ()) -> Lease:
        held = self._leases.get(owner)
        if held is not None:
            return held
        if not self._free:
            raise AddressesExhausted("no pod address is free: every address is in use by a lease")
        for forward in ports:
            self._refuse_taken(forward)
        address = self._free.pop(0)
        lease = Lease(owner, f"/fake/netns/{address}", address, self.gateway, f"veth{address.rpartition('.')[2]}")
        self._leases[owner] = lease
        self.ports[owner] = tuple(ports)
        return lease

    async def release(self, owner: str) -> None:
        lease = self._leases.pop(owner, None)
        if lease is not None:
            # Given back at the end: a fresh lease does not meet the packets meant for the one before.
            self._free.append(lease.address)
            del self.ports[owner]

    async def leases(self) -> Sequence[Lease]:
        return list(self._leases.values())

    async def close(self) -> None:
        self.is_open = False

    async def purge(self) -> None:
        for owner in list(self._leases):
            await self.release(owner)
        self.is_open = False

    def _refuse_taken(self, wanted: PortForward) -> None:
        for owner, forwards in self.ports.items():
            if any(wanted.collides(other) for other in forwards):
                raise PortTaken(f"host port {wanted.host_port}/{wanted.protocol} is in use by {owner}")
