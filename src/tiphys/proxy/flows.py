"""
Which tracked UDP flows go astray after a change. Pure.

The kernel keeps a UDP flow on the way it first took for as long as packets come: to an endpoint that is gone, or to
nowhere from before there was one. TCP ends by itself; such UDP flows must be forgotten.
"""

from __future__ import annotations

from tiphys.network.conntrack import Flow
from tiphys.network.rules import Ruleset
from tiphys.proxy import layout

Destination = tuple[str, int]
Target = tuple[str, int]


def astray(old: Ruleset, new: Ruleset) -> set[Flow]:
    """The flows to forget when a Service's rules go from `old` to `new`."""
    flows: set[Flow] = set()
    for place in layout.PLACES:
        flows |= _lost_endpoints(place, old, new)
        before, after = _udp(old, place.verdicts), _udp(new, place.verdicts)
        for key in after.keys() - before.keys():
            address, port = _destination(key)
            flows.add(Flow(address, port))
        # Behind an affinity chain the endpoints are not elements: forget them all, clients come back at once.
        for key in before.keys() & after.keys():
            affine = before[key].removeprefix("goto ")
            if affine in old.chains and affine.startswith("affine") and old.chains[affine] != new.chains.get(affine):
                flows.add(Flow(*_destination(key)))
    return flows


def _lost_endpoints(place: layout.Place, old: Ruleset, new: Ruleset) -> set[Flow]:
    kept = {(_destination(_unnumbered(key)), value) for key, value in _udp(new, place.endpoints).items()}
    flows = set()
    for key, value in _udp(old, place.endpoints).items():
        destination = _destination(_unnumbered(key))
        if (destination, value) not in kept:
            address, port = value.split(" . ")
            flows.add(Flow(*destination, address, int(port)))
    return flows


def _udp(ruleset: Ruleset, collection: str) -> dict[str, str]:
    elements = ruleset.elements.get(collection, {})
    return {key: value for key, value in elements.items() if " udp " in f" {key}"}


def _unnumbered(key: str) -> str:
    return key.rpartition(" . ")[0]


def _destination(key: str) -> Destination:
    """(address, port); the address is "" for a node port."""
    words = key.split(" . ")
    return (words[0] if len(words) == 3 else "", int(words[-1]))
