"""
Who has which address of a range. Pure: the network tells what is in use, at start and after each change.

An address that was given back is used again as late as possible, so that a fresh lease does not meet the packets and
connections meant for the one before.
"""

from __future__ import annotations

import ipaddress
from collections import deque
from collections.abc import Iterable

from tiphys.network.door import AddressesExhausted


class Addresses:
    """The addresses of a range but for network, gateway and broadcast. Memory grows with use, not with the range."""

    def __init__(self, subnet: ipaddress.IPv4Network, in_use: Iterable[str] = ()) -> None:
        self._subnet = subnet
        self._used = set(in_use)
        self._returned: deque[str] = deque()
        self._next = 2
        self._end = subnet.num_addresses - 1

    def take(self) -> str:
        """A free address: one never used before while there is one, else the one free for longest."""
        while self._next < self._end:
            address = str(self._subnet[self._next])
            self._next += 1
            if address not in self._used:
                self._used.add(address)
                return address
        if not self._returned:
            raise AddressesExhausted(
                f"all {max(self._end - 2, 0)} pod addresses of {self._subnet} are in use; "
                "delete pods or give a wider range"
            )
        address = self._returned.popleft()
        self._used.add(address)
        return address

    def give_back(self, address: str) -> None:
        """An address that is not in use is ignored."""
        if address in self._used:
            self._used.discard(address)
            self._returned.append(address)

    def __contains__(self, address: str) -> bool:
        return address in self._used

    def __len__(self) -> int:
        return len(self._used)
