"""
Which devices a container gets. Pure: what a plugin has, what others hold and what is wanted go in.

Texts are the kubelet's: they end up in the message of a pod that was not admitted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tiphys.api import quantity
from tiphys.node.pod import spec

Pod = Mapping[str, Any]
Container = Mapping[str, Any]


class NoDevices(Exception):
    """There are not enough devices; the message is the kubelet's."""


@dataclass(frozen=True, slots=True)
class Stock:
    """The devices of one resource: the healthy ones, and those that somebody holds."""

    resource: str
    healthy: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()
    is_registered: bool = True


@dataclass(frozen=True, slots=True)
class Choice:
    """`free` may be taken, of which `kept` come first: they were an init container's of the same pod."""

    free: frozenset[str] = field(default_factory=frozenset)
    kept: frozenset[str] = field(default_factory=frozenset)
    count: int = 0


def wanted_by(container: Container) -> dict[str, int]:
    """How many of each resource that has a domain: only those can be devices of plugins."""
    limits = (container.get("resources") or {}).get("limits") or {}
    counts = {name: quantity.value(str(count)) for name, count in limits.items() if "/" in name}
    return {name: count for name, count in counts.items() if count}


def choice(stock: Stock, kept: Collection[str], count: int) -> Choice:
    """What there is to choose from. NoDevices."""
    if not stock.is_registered:
        raise NoDevices(f"cannot allocate unregistered device {stock.resource}")
    if not stock.healthy:
        raise NoDevices(f"no healthy devices present; cannot allocate unhealthy devices {stock.resource}")
    reusable = frozenset(kept) & stock.healthy
    free = stock.healthy - stock.held | reusable
    if len(free) < count:
        raise NoDevices(
            f"requested number of devices unavailable for {stock.resource}. Requested: {count}, Available: {len(free)}"
        )
    return Choice(free, reusable, count)


def picked(choice: Choice, preferred: Iterable[str] = ()) -> list[str]:
    """The devices: those kept, then what the plugin prefers, then any, in a stable order."""
    order = [*sorted(choice.kept), *preferred, *sorted(choice.free)]
    usable = [device for device in dict.fromkeys(order) if device in choice.free]
    return sorted(usable[: choice.count])


def turns(pod: Pod) -> Sequence[tuple[Container, bool]]:
    """The containers in the order of their allocation, and whether what each gets is free for later ones."""
    inits = [(container, not spec.is_sidecar(container)) for container in spec.init_containers(pod)]
    return [*inits, *((container, False) for container in spec.main_containers(pod))]


def shortage(pod: Pod, stocks: Mapping[str, Stock]) -> str:
    """Why the pod cannot have what it wants now; "" when it can."""
    taken: dict[str, set[str]] = {}
    kept: dict[str, set[str]] = {}
    for container, is_lent in turns(pod):
        for resource, count in wanted_by(container).items():
            stock = stocks.get(resource)
            if stock is None:
                continue
            others = stock.held | taken.setdefault(resource, set())
            reusable = kept.setdefault(resource, set())
            try:
                found = picked(choice(_with_held(stock, others), reusable, count))
            except NoDevices as problem:
                return str(problem)
            taken[resource].update(found)
            if is_lent:
                reusable.update(found)
            else:
                reusable.difference_update(found)
    return ""


def _with_held(stock: Stock, held: Collection[str]) -> Stock:
    return Stock(stock.resource, stock.healthy, frozenset(held), stock.is_registered)
