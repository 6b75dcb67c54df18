"""
Pods of one shape ask the same of a node, so the answers are worked out once for all of them.

A Deployment of a thousand replicas is one shape. The shape keeps, for each row of the node table, whether the static
filters let it pass, how much the static preferences like it, and with the numbers of the moment how good it is
(`ranking`). A node that changes is looked at again, alone: a pod that was placed changes one row for the next one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from tiphys.api.pods import requests_of
from tiphys.scheduler.filters import first_reason, fits, has_room
from tiphys.scheduler.nodes import PODS, HostPort, Mask, NodeTable
from tiphys.scheduler.scores import Scores, resource_score, resource_scores, static_preference

Object = dict[str, Any]

SHAPES_MAX = 512
# The rank of a node that cannot take the pod.
UNFIT = -np.inf
# Changed rows up to this number are ranked one by one; more are ranked with all others, as arrays.
ROWS_ALONE_MAX = 16


class Shape:
    """What all pods of one shape have in common. Made by `Shapes`."""

    def __init__(self, spec: Mapping[str, Any], request: Mapping[int, int], ports: Sequence[HostPort]) -> None:
        self.spec = spec
        self.request = request
        self.ports = ports
        self.mask: Mask = np.zeros(0, dtype=np.bool_)
        self.preference: Scores = np.zeros(0)
        self.ranking: Scores = np.zeros(0)
        self._facts = self._numbers = 0

    def refresh(self, table: NodeTable) -> None:
        """Bring everything up to the table's present state."""
        if len(self.mask) != table.rows:
            self.mask = np.zeros(table.rows, dtype=np.bool_)
            self.preference, self.ranking = np.zeros(table.rows), np.zeros(table.rows)
            facts = numbers = None
        else:
            facts, numbers = table.facts.since(self._facts), table.numbers.since(self._numbers)
        self._facts, self._numbers = table.facts.epoch, table.numbers.epoch
        for row in range(table.rows) if facts is None else facts:
            node = table.objects[row]
            self.mask[row] = node is not None and first_reason(self.spec, node) is None
            self.preference[row] = static_preference(self.spec, node) if node is not None else 0.0
        changed = None if facts is None or numbers is None else facts | numbers
        if changed is None or len(changed) > ROWS_ALONE_MAX:
            total = resource_scores(table, self.request) + self.preference
            self.ranking = np.where(self.mask & fits(table, self.request), total, UNFIT)
        else:
            for row in changed:
                self.ranking[row] = self._rank(table, row)

    def _rank(self, table: NodeTable, row: int) -> float:
        if not self.mask[row] or not has_room(table, self.request, row):
            return float(UNFIT)
        return resource_score(table, self.request, row) + self.preference.item(row)


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
            shape = Shape(pod["spec"], request_of(self._table, pod), host_ports(pod))
        self._known[key] = shape
        if len(self._known) > SHAPES_MAX:
            self._known.popitem(last=False)
        shape.refresh(self._table)
        return shape


def shape_key(pod: Object) -> bytes:
    """Equal for pods that ask the same of a node."""
    spec = pod["spec"]
    asks = [
        [(c.get("resources"), c.get("ports"), c.get("restartPolicy"), c.get("image")) for c in spec["containers"]],
        [(c.get("resources"), c.get("ports"), c.get("restartPolicy")) for c in spec.get("initContainers") or ()],
        *(spec.get(k) for k in ("nodeName", "nodeSelector", "affinity", "tolerations", "overhead", "resources")),
        spec.get("hostNetwork"),
    ]
    return orjson.dumps(asks, option=orjson.OPT_SORT_KEYS)


def request_of(table: NodeTable, pod: Object) -> dict[int, int]:
    """Column → amount, with the pod itself as one of "pods". Zero requests ask for nothing."""
    request = {table.column(resource): quantity for resource, quantity in requests_of(pod).items() if quantity}
    request[PODS] = 1
    return request


def host_ports(pod: Object) -> list[HostPort]:
    """The host ports a pod asks for."""
    spec = pod["spec"]
    restartable = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    found = []
    for container in [*spec["containers"], *restartable]:
        for port in container.get("ports") or ():
            number = port.get("hostPort") or (port["containerPort"] if spec.get("hostNetwork") else 0)
            if number:
                found.append((port.get("hostIP", ""), port.get("protocol", "TCP"), number))
    return found
