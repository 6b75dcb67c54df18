"""
Pods of one shape ask the same of a node, so the static answers are worked out once for all of them.

A Deployment of a thousand replicas is one shape. The shape keeps, for each row of the node table, whether the static
filters let it pass and how much the static preferences like it; a node that changes is looked at again, alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from tiphys.api.pods import requests_of
from tiphys.scheduler.filters import first_reason
from tiphys.scheduler.nodes import PODS, HostPort, Mask, NodeTable
from tiphys.scheduler.scores import static_preference

Object = dict[str, Any]

SHAPES_MAX = 512


class Shape:
    """What all pods of one shape have in common. Made by `Shapes`."""

    def __init__(self, spec: Mapping[str, Any], request: Mapping[int, int], ports: Sequence[HostPort]) -> None:
        self.spec = spec
        self.request = request
        self.ports = ports
        self.mask: Mask = np.zeros(0, dtype=np.bool_)
        self.preference: NDArray[np.float64] = np.zeros(0)
        self.prefers = False
        self._epoch = -1

    def refresh(self, table: NodeTable) -> None:
        """Bring mask and preference up to the table's epoch."""
        if self._epoch == table.epoch and len(self.mask) == table.rows:
            return
        changed = table.changed_since(self._epoch) if len(self.mask) == table.rows else None
        if changed is None:
            self.mask = np.zeros(table.rows, dtype=np.bool_)
            self.preference = np.zeros(table.rows)
            changed = range(table.rows)
        for row in changed:
            node = table.objects[row]
            self.mask[row] = node is not None and first_reason(self.spec, node) is None
            self.preference[row] = static_preference(self.spec, node) if node is not None else 0.0
        self.prefers = bool(self.preference.any())
        self._epoch = table.epoch


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
