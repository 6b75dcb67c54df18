"""
Pods of one shape ask the same of a node, so the answers are worked out once for all of them.

A Deployment of a thousand replicas is one shape, and so are the pods of a DaemonSet, although each names its node. The
shape keeps, for each row of the node table, which static filter refuses it, how much it is preferred, and with the
numbers of the moment how good it is (`ranking`). A node that changes is looked at again, alone: a pod that was placed
changes one row for the next one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from tiphys.api.pods import requests_of
from tiphys.scheduler.filters import STATIC_REASONS, first_reason, fits, has_room
from tiphys.scheduler.images import image_names
from tiphys.scheduler.nodes import PODS, HostPort, Load, Mask, NodeTable
from tiphys.scheduler.resized import as_resized
from tiphys.scheduler.scores import (
    WEIGHT_IMAGE,
    WEIGHT_NODE_AFFINITY,
    WEIGHT_TAINTS,
    Scores,
    liking,
    most_is_best,
    resource_score,
    resource_scores,
    scored_of,
    soft_taints,
)
from tiphys.scheduler.terms import REQUIRED

Object = dict[str, Any]

SHAPES_MAX = 512
# The rank of a node that cannot take the pod.
UNFIT = -np.inf
# Changed rows up to this number are ranked one by one; more are ranked with all others, as arrays.
ROWS_ALONE_MAX = 16

_CODES = {None: 0} | {reason: number for number, reason in enumerate(STATIC_REASONS, 1)}


class Shape:
    """What all pods of one shape have in common. Made by `Shapes`."""

    def __init__(self, spec: Mapping[str, Any], load: Load) -> None:
        self.spec = spec
        self.load = load
        self.codes: NDArray[np.int8] = np.zeros(0, dtype=np.int8)
        self.mask: Mask = np.zeros(0, dtype=np.bool_)
        self.ranking: Scores = np.zeros(0)
        self._liking, self._soft = np.zeros(0), np.zeros(0)
        self._liked = self._softly_tainted = False
        self._image: Scores | None = None
        self._image_names = image_names(spec)
        self._facts = self._numbers = 0
        self._images = -1

    def refresh(self, table: NodeTable) -> None:
        """Bring everything up to the table's present state."""
        if len(self.mask) != table.rows:
            self._resize(table.rows)
            facts = numbers = None
        else:
            facts, numbers = table.facts.since(self._facts), table.numbers.since(self._numbers)
        self._facts, self._numbers = table.facts.epoch, table.numbers.epoch
        if facts is None or facts:
            self._judge(table, range(table.rows) if facts is None else facts)
        changed = None if facts is None or numbers is None else facts | numbers
        if self._images != table.images.epoch and self._image_changed(table):
            changed = None
        if changed is None or len(changed) > ROWS_ALONE_MAX:
            total = resource_scores(table, self.load)
            if self._image is not None:
                total += self._image
            self.ranking = np.where(self.mask & fits(table, self.load.request), total, UNFIT)
        else:
            for row in changed:
                self.ranking[row] = self._rank(table, row)

    def _resize(self, rows: int) -> None:
        self.mask, self.codes = np.zeros(rows, dtype=np.bool_), np.zeros(rows, dtype=np.int8)
        self._liking, self._soft, self.ranking = np.zeros(rows), np.zeros(rows), np.zeros(rows)
        self._images = -1

    def _judge(self, table: NodeTable, rows: Any) -> None:
        """Ask the static filters and preferences about some rows."""
        for row in rows:
            node = table.objects[row]
            code = self.codes[row] = _CODES[first_reason(self.spec, node)] if node is not None else 0
            self.mask[row] = node is not None and not code
            self._liking[row] = liking(self.spec, node) if node is not None else 0.0
            self._soft[row] = soft_taints(self.spec, node) if node is not None else 0.0
        self._liked, self._softly_tainted = bool(self._liking.any()), bool(self._soft.any())

    def _image_changed(self, table: NodeTable) -> bool:
        """Another node has an image, or has it no longer: that is rarely one of these."""
        self._images = table.images.epoch
        before = self._image
        score = table.images.score(self._image_names, table.rows, len(table))
        self._image = WEIGHT_IMAGE * score if score is not None else None
        return before is not None or score is not None

    def _rank(self, table: NodeTable, row: int) -> float:
        if not self.mask[row] or not has_room(table, self.load.request, row):
            return float(UNFIT)
        score = resource_score(table, self.load, row)
        return score if self._image is None else score + self._image.item(row)

    @property
    def prefers(self) -> bool:
        """Whether `preference` tells rows apart."""
        return self._liked or self._softly_tainted

    def preference(self, feasible: Mask) -> Scores:
        """Preferred node affinity and PreferNoSchedule taints, by what the feasible rows offer."""
        total = np.zeros(len(feasible))
        liked = most_is_best(self._liking, feasible) if self._liked else None
        if liked is not None:
            total += WEIGHT_NODE_AFFINITY * liked
        tainted = most_is_best(self._soft, feasible) if self._softly_tainted else None
        if tainted is not None:
            total -= WEIGHT_TAINTS * tainted
        return total


class Shapes:
    """The shapes seen lately."""

    def __init__(self, table: NodeTable) -> None:
        self._table = table
        self._known: OrderedDict[bytes, Shape] = OrderedDict()

    def of(self, pod: Object) -> Shape:
        """The shape of a pod, refreshed."""
        key = shape_key(pod)
        shape = self._known.pop(key, None)
        if shape is None:
            shape = Shape(unpinned(pod["spec"]), load_of(self._table, pod))
        self._known[key] = shape
        if len(self._known) > SHAPES_MAX:
            self._known.popitem(last=False)
        shape.refresh(self._table)
        return shape


def shape_key(pod: Object) -> bytes:
    """Equal for pods that ask the same of a node."""
    spec = pod["spec"]
    affinity = spec.get("affinity")
    if affinity:
        affinity = unpinned(spec)["affinity"].get("nodeAffinity")
    asks = [
        [(c.get("resources"), c.get("ports"), c.get("restartPolicy"), c.get("image")) for c in spec["containers"]],
        [(c.get("resources"), c.get("ports"), c.get("restartPolicy"), c.get("image")) for c in _init(spec)],
        *(spec.get(k) for k in ("nodeName", "nodeSelector", "tolerations", "overhead", "resources", "hostNetwork")),
        affinity,
    ]
    return orjson.dumps(asks, option=orjson.OPT_SORT_KEYS)


def _init(spec: Mapping[str, Any]) -> Any:
    return spec.get("initContainers") or ()


def pinned_to(spec: Mapping[str, Any]) -> str | None:
    """The name of the one node that a pod is made for, as those of a DaemonSet are."""
    named = {_one_name(term) for term in _required_terms(spec)}
    return next(iter(named)) if len(named) == 1 else None


def unpinned(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """The spec without the name of that node: what all pods of a DaemonSet have in common."""
    if pinned_to(spec) is None:
        return spec
    terms = [{name: value for name, value in term.items() if name != "matchFields"} for term in _required_terms(spec)]
    affinity = spec["affinity"]
    node = {name: value for name, value in affinity["nodeAffinity"].items() if name != REQUIRED}
    if all(term.get("matchExpressions") for term in terms):
        node[REQUIRED] = {"nodeSelectorTerms": terms}
    return {**spec, "affinity": {**affinity, "nodeAffinity": node}}


def _required_terms(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    node = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    return (node.get(REQUIRED) or {}).get("nodeSelectorTerms") or []


def _one_name(term: Mapping[str, Any]) -> str | None:
    fields: list[Any] = term.get("matchFields") or []
    if len(fields) != 1 or fields[0].get("operator") != "In" or len(fields[0].get("values") or ()) != 1:
        return None
    return str(fields[0]["values"][0])


def load_of(table: NodeTable, pod: Object) -> Load:
    """What a pod takes, with the pod itself as one of "pods". Zero requests ask for nothing."""
    pod = as_resized(pod)
    request = {table.column(resource): quantity for resource, quantity in requests_of(pod).items() if quantity}
    request[PODS] = 1
    return Load(request, scored_of(pod), host_ports(pod))


def host_ports(pod: Object) -> list[HostPort]:
    """The host ports a pod asks for."""
    spec = pod["spec"]
    restartable = [c for c in _init(spec) if c.get("restartPolicy") == "Always"]
    found = []
    for container in [*spec["containers"], *restartable]:
        for port in container.get("ports") or ():
            number = port.get("hostPort") or (port["containerPort"] if spec.get("hostNetwork") else 0)
            if number:
                found.append((port.get("hostIP", ""), port.get("protocol", "TCP"), number))
    return found
