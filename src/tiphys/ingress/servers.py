"""
The servers of a pool in the data plane, and the least change that leads to the wanted ones. Pure.

HAProxy's servers are places (`s1`, `s2`, …): an address that goes leaves its place in maintenance, where requests that
are under way end in peace, and one that comes takes a place that is free, or a new one. Nobody is moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tiphys.ingress.endpoints import Target


@dataclass(frozen=True, slots=True)
class Server:
    """What stands in a place. One that is not `used` keeps its address until the place is taken again."""

    address: str
    port: int
    weight: int = 1
    used: bool = True

    @property
    def target(self) -> Target:
        return self.address, self.port


@dataclass(frozen=True, slots=True)
class Put:
    """Give the place, from 1 on, to this server; `fresh` if HAProxy does not have the place yet."""

    place: int
    server: Server
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Weigh:
    place: int
    weight: int


@dataclass(frozen=True, slots=True)
class Retire:
    """No new requests."""

    place: int


Change = Put | Weigh | Retire


def first(wanted: Mapping[Target, int]) -> list[Server]:
    """The places of a pool that is configured anew."""
    return [Server(address, port, weight) for (address, port), weight in wanted.items()]


def changes(held: Sequence[Server], wanted: Mapping[Target, int]) -> list[Change]:
    """Those that come, first: a pool is not empty in between."""
    used = {server.target: place for place, server in enumerate(held, 1) if server.used}
    free = [place for place, server in enumerate(held, 1) if not server.used]
    # A pod that is ready again takes its old place.
    free.sort(key=lambda place: held[place - 1].target not in wanted, reverse=True)
    made: list[Change] = []
    fresh = len(held)
    for target, weight in wanted.items():
        server = Server(*target, weight)
        if target in used:
            if held[used[target] - 1].weight != weight:
                made.append(Weigh(used[target], weight))
        elif free:
            made.append(Put(free.pop(), server))
        else:
            fresh += 1
            made.append(Put(fresh, server, fresh=True))
    return made + [Retire(place) for target, place in used.items() if target not in wanted]


def after(held: Sequence[Server], made: Iterable[Change]) -> list[Server]:
    """The places once the changes are done."""
    places = list(held)
    for change in made:
        match change:
            case Put(place, server, fresh):
                if fresh:
                    places.append(server)
                else:
                    places[place - 1] = server
            case Weigh(place, weight):
                old = places[place - 1]
                places[place - 1] = Server(old.address, old.port, weight)
            case Retire(place):
                old = places[place - 1]
                places[place - 1] = Server(old.address, old.port, old.weight, used=False)
    return places
