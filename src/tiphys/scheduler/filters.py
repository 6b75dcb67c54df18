"""
Which nodes can take a pod, and why the others cannot.

Two kinds of filter. A *static* one looks at a node's labels, taints and flags: its answer for a pod shape is kept and
only re-examined for nodes that changed. A *dynamic* one looks at what is used right now, as one comparison of arrays.
Each gives the reason that `kubectl describe pod` shows. To add one: docs/checklists/add-a-filter.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tiphys.api.pods import tolerates
from tiphys.api.selectors import matches_node_selector_term
from tiphys.scheduler.nodes import PODS, HostPort, Mask, NodeTable
from tiphys.scheduler.terms import REQUIRED

Object = dict[str, Any]

# The reason why a node cannot take pods of that spec, or None.
StaticFilter = Callable[[Mapping[str, Any], Object], str | None]

NODE_NAME = "node(s) didn't match the requested node name"
UNSCHEDULABLE = "node(s) were unschedulable"
TAINTS = "node(s) had untolerated taint(s)"
NODE_AFFINITY = "node(s) didn't match Pod's node affinity/selector"
# Said of all nodes but the one that a pod is made for.
NOT_PINNED = "node(s) didn't satisfy plugin(s) [NodeAffinity]"
HOST_PORTS = "node(s) didn't have free ports for the requested pod ports"
TOO_MANY_PODS = "Too many pods"

UNSCHEDULABLE_TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


def node_unschedulable(spec: Mapping[str, Any], node: Object) -> str | None:
    if not (node.get("spec") or {}).get("unschedulable"):
        return None
    tolerated = any(tolerates(t, UNSCHEDULABLE_TAINT) for t in spec.get("tolerations") or ())
    return None if tolerated else UNSCHEDULABLE


def node_name(spec: Mapping[str, Any], node: Object) -> str | None:
    wanted = spec.get("nodeName")
    return NODE_NAME if wanted and wanted != node["metadata"]["name"] else None


def taints(spec: Mapping[str, Any], node: Object) -> str | None:
    tolerations = spec.get("tolerations") or ()
    for taint in (node.get("spec") or {}).get("taints") or ():
        if taint["effect"] != "PreferNoSchedule" and not any(tolerates(t, taint) for t in tolerations):
            return TAINTS
    return None


def node_affinity(spec: Mapping[str, Any], node: Object) -> str | None:
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(key) != wanted for key, wanted in (spec.get("nodeSelector") or {}).items()):
        return NODE_AFFINITY
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get(REQUIRED)
    if required is None:
        return None
    terms: Sequence[Mapping[str, Any]] = required.get("nodeSelectorTerms") or ()
    name = node["metadata"]["name"]
    return None if any(matches_node_selector_term(term, labels, name) for term in terms) else NODE_AFFINITY


STATIC: tuple[StaticFilter, ...] = (node_unschedulable, node_name, taints, node_affinity)
STATIC_REASONS = (UNSCHEDULABLE, NODE_NAME, TAINTS, NODE_AFFINITY)


def first_reason(spec: Mapping[str, Any], node: Object) -> str | None:
    """The first static filter's objection, in Kubernetes' order; None when the node suits."""
    return next((reason for filter_ in STATIC if (reason := filter_(spec, node)) is not None), None)


def fits(table: NodeTable, request: Mapping[int, int]) -> Mask:
    """Nodes with room for `request` (column → amount), and for one more pod."""
    mask = table.exists.copy()
    for column, quantity in request.items():
        mask &= table.used[column] + quantity <= table.allocatable[column]
    return mask


def has_room(table: NodeTable, request: Mapping[int, int], row: int) -> bool:
    """The same for one row."""
    used, allocatable = table.used.item, table.allocatable.item
    return all(used(column, row) + amount <= allocatable(column, row) for column, amount in request.items())


def free_ports(table: NodeTable, wanted: Sequence[HostPort]) -> Mask:
    """Nodes on which no pod holds one of the wanted host ports."""
    mask = np.ones(table.rows, dtype=np.bool_)
    for row, held in table.ports.items():
        if any(clashes(port, held) for port in wanted):
            mask[row] = False
    return mask


def clashes(port: HostPort, held: Iterable[HostPort]) -> bool:
    """An address of "" or 0.0.0.0 stands for every address."""
    ip, protocol, number = port
    everywhere = ("", "0.0.0.0")
    return any(
        number == other_number and protocol == other and (ip == at or ip in everywhere or at in everywhere)
        for at, other, other_number in held
    )


def shortages(table: NodeTable, request: Mapping[int, int]) -> Iterator[tuple[str, Mask, Mask]]:
    """
    For each resource that a pod asks for: the reason as Kubernetes words it (`Insufficient cpu`), the rows that lack
    it, and those of them that would lack it if they were empty.
    """
    names = {column: name for name, column in table.columns.items()}
    for column, quantity in sorted(request.items(), key=lambda item: (item[0] != PODS, item[0])):
        reason = TOO_MANY_PODS if column == PODS else f"Insufficient {names[column]}"
        lacking = table.used[column] + quantity > table.allocatable[column]
        never = quantity > table.allocatable[column] if column != PODS else np.zeros(table.rows, dtype=np.bool_)
        yield reason, lacking, never
