"""
Which waiting pods an event can help: those that were refused for what it changes, and may fit now.

Each function is told what happened and gives a question about a waiting pod. A yes costs an attempt, a wrong no would
leave a pod waiting: where it is not sure, the answer is yes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiphys.api.objects import labels_of, namespace_of
from tiphys.scheduler import affinity, filters, spread, volume_needs
from tiphys.scheduler.claims import claim_names
from tiphys.scheduler.nodes import amount, static_facts
from tiphys.scheduler.queue import Waiting
from tiphys.scheduler.shape import UNFIT, Shape
from tiphys.scheduler.state import State
from tiphys.scheduler.terms import has_terms, required

Object = dict[str, Any]
Key = tuple[str, str]
Helps = Callable[[Waiting], bool]

SPREAD = frozenset((spread.TOO_SKEWED, spread.NO_LABEL))
NEIGHBOURS = frozenset((affinity.NOT_NEAR, affinity.TOO_NEAR, affinity.KEPT_AWAY))
PLACES = frozenset(
    (volume_needs.ELSEWHERE, volume_needs.OTHER_ZONE, volume_needs.NOTHING_TO_BIND, volume_needs.NO_SPACE)
)
# What a pod that came can help; each pod that is placed asks.
COMPANY = frozenset((affinity.NOT_NEAR, spread.TOO_SKEWED))
FIXED = frozenset((*filters.STATIC_REASONS, filters.NOT_PINNED))


def is_about_room(reason: str) -> bool:
    return reason.startswith("Insufficient ") or reason in (filters.TOO_MANY_PODS, filters.HOST_PORTS)


def after_node(state: State, old: Object | None, new: Object | None) -> Helps:
    """A node came, changed or went."""
    relabelled = old is None or new is None or labels_of(old) != labels_of(new)
    # Whose taints count for spreading may change with them.
    other = relabelled or (old is not None and new is not None and static_facts(old) != static_facts(new))
    grown = old is None or (new is not None and _offers_more(old, new))
    by_shape: dict[Shape, tuple[bool, bool]] = {}

    def helps(waiting: Waiting) -> bool:
        reasons = waiting.reasons or frozenset()
        if (other and reasons & SPREAD) or (relabelled and reasons & NEIGHBOURS):
            return True
        asks = waiting.asks
        if new is None or asks is None or asks.pinned not in (None, new["metadata"]["name"]):
            return new is not None and asks is None
        if asks.shape not in by_shape:
            suited = old is not None and filters.first_reason(asks.shape.spec, old) is None
            by_shape[asks.shape] = suited, _could_hold(state, asks.shape, new)
        suited, suits = by_shape[asks.shape]
        if not suits:
            return False
        if not suited:
            return old is None or not reasons or bool(reasons & FIXED)
        return (grown and any(map(is_about_room, reasons))) or (relabelled and bool(reasons & PLACES))

    return helps


def _offers_more(old: Object, new: Object) -> bool:
    before, after = ((node.get("status") or {}).get("allocatable") or {} for node in (old, new))
    return any(name not in before or amount(name, q) > amount(name, before[name]) for name, q in after.items())


def _could_hold(state: State, shape: Shape, node: Object) -> bool:
    """Whether pods of the shape would fit if nobody else were there."""
    row = state.table.row_of.get(node["metadata"]["name"])
    if row is None or filters.first_reason(shape.spec, node) is not None:
        return False
    offered = state.table.allocatable
    return all(quantity <= offered.item(column, row) for column, quantity in shape.load.request.items())


def after_pod_left(state: State, pod: Object, node: str, *, freed: bool = True) -> Helps:
    """A pod is gone or finished, or is not what it was; `freed` if there is more room on its node now."""
    row = state.table.row_of.get(node) if freed else None
    room = Room(state, row) if row is not None else None

    def helps(waiting: Waiting) -> bool:
        reasons = waiting.reasons or frozenset()
        if room is not None and any(map(is_about_room, reasons)) and room.helps(waiting):
            return True
        if spread.TOO_SKEWED in reasons and _is_sibling(waiting.pod, pod):
            return True
        if affinity.KEPT_AWAY in reasons and has_terms(pod):
            return True
        if affinity.TOO_NEAR in reasons and _is_meant(state, waiting.pod, "podAntiAffinity", pod):
            return True
        if volume_needs.IN_USE in reasons and set(claim_names(pod)) & set(claim_names(waiting.pod)):
            return True
        return volume_needs.TOO_MANY in reasons and bool(claim_names(pod))

    return helps


class Room:
    """Whom more room on a row helps: who fits there now, or could make the rest of the room. Asked once for a shape."""

    def __init__(self, state: State, row: int) -> None:
        self._state = state
        self._row = row
        self._by_shape: dict[Shape, bool] = {}

    def helps(self, waiting: Waiting) -> bool:
        asks, state, row = waiting.asks, self._state, self._row
        if asks is None:
            return True
        if asks.pinned is not None and state.table.row_of.get(asks.pinned) != row:
            return False
        if asks.shape not in self._by_shape:
            asks.shape.refresh(state.table)
            self._by_shape[asks.shape] = bool(asks.shape.ranking[row] > UNFIT)
        if self._by_shape[asks.shape]:
            return True
        return bool(asks.shape.mask[row]) and state.world.priorities.has_below(asks.priority, row)


def after_pod_came(state: State, pod: Object) -> Helps:
    """A pod has a node now, or other labels."""

    def helps(waiting: Waiting) -> bool:
        reasons = waiting.reasons or frozenset()
        if affinity.NOT_NEAR in reasons and _is_meant(state, waiting.pod, "podAffinity", pod):
            return True
        return spread.TOO_SKEWED in reasons and _is_sibling(waiting.pod, pod)

    return helps


def _is_sibling(waiting: Object, pod: Object) -> bool:
    """Whether a constraint of the waiting pod counts the other one."""
    if namespace_of(waiting) != namespace_of(pod):
        return False
    return any(each.hard and each.selector.matches(labels_of(pod)) for each in spread.constraints_of(waiting))


def _is_meant(state: State, waiting: Object, kind: str, pod: Object) -> bool:
    namespace, labels = namespace_of(pod), labels_of(pod)
    return any(term.pods.matches(namespace, labels, state.world.namespaces) for term in required(waiting, kind))


def after_claim(key: Key) -> Helps:
    """A claim came or changed."""
    return lambda waiting: key in claim_names(waiting.pod)


def after_volume(waiting: Waiting) -> bool:
    """A volume came or changed."""
    return bool((waiting.reasons or frozenset()) & (PLACES | {volume_needs.NO_VOLUME}))


def after_class(waiting: Waiting) -> bool:
    """A storage class came, or its volumes may be elsewhere."""
    return bool((waiting.reasons or frozenset()) & {volume_needs.NOTHING_TO_BIND, volume_needs.UNBOUND})


def after_capacity(waiting: Waiting) -> bool:
    """A driver has other space, or no longer says how much."""
    return volume_needs.NO_SPACE in (waiting.reasons or frozenset())


def after_csi_node(waiting: Waiting) -> bool:
    """A driver takes more volumes on a node."""
    return volume_needs.TOO_MANY in (waiting.reasons or frozenset())


def after_namespace(waiting: Waiting) -> bool:
    """A namespace has other labels: terms may mean other pods."""
    return bool((waiting.reasons or frozenset()) & NEIGHBOURS)
