"""
Among the nodes that can take a pod, which one should.

Kubernetes' own mix: prefer free nodes (least allocated), even use of CPU and memory (balanced), nodes that hold fewer
pods of the same owner (spreading), preferred node affinity, few untolerated PreferNoSchedule taints, and the image
being there. Each part gives 0 … 100; weights are Kubernetes'.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiphys.api.pods import tolerates
from tiphys.api.selectors import matches_node_selector_term
from tiphys.scheduler.nodes import CPU, MEMORY, NodeTable

Object = dict[str, Any]
Scores = NDArray[np.float64]

WEIGHT_SPREAD = 2.0
WEIGHT_AFFINITY = 2.0
WEIGHT_TAINTS = 3.0
WEIGHT_IMAGE = 1.0

# A container without a request still costs something: Kubernetes' assumption for scoring.
ASSUMED_CPU_MILLI = 100
ASSUMED_MEMORY_BYTES = 200 * 1024 * 1024


def resource_scores(table: NodeTable, request: Mapping[int, int]) -> Scores:
    """Least allocated plus balanced allocation over CPU and memory, 0 … 200."""
    shares = [
        _share(table, CPU, request.get(CPU) or ASSUMED_CPU_MILLI),
        _share(table, MEMORY, request.get(MEMORY) or ASSUMED_MEMORY_BYTES),
    ]
    free = 1.0 - (shares[0] + shares[1]) / 2.0
    balance = 1.0 - np.abs(shares[0] - shares[1]) / 2.0
    scores: Scores = 100.0 * (free + balance)
    return scores


def resource_score(table: NodeTable, request: Mapping[int, int], row: int) -> float:
    """The same for one row: what a placed pod changes, in plain numbers, which arrays of one are slow at."""
    wanted = ((CPU, request.get(CPU) or ASSUMED_CPU_MILLI), (MEMORY, request.get(MEMORY) or ASSUMED_MEMORY_BYTES))
    used, allocatable = table.used, table.allocatable
    cpu, memory = (min((used.item(c, row) + amount) / max(allocatable.item(c, row), 1), 1.0) for c, amount in wanted)
    return 100.0 * (1.0 - (cpu + memory) / 2.0 + 1.0 - abs(cpu - memory) / 2.0)


def _share(table: NodeTable, column: int, quantity: int) -> Scores:
    capacity = np.maximum(table.allocatable[column], 1)
    share: Scores = np.minimum((table.used[column] + quantity) / capacity, 1.0)
    return share


def spread_scores(counts: NDArray[np.int32]) -> Scores:
    """Fewer pods of the same owner on the node is better."""
    most = counts.max(initial=0)
    if most == 0:
        return np.zeros(len(counts))
    scores: Scores = WEIGHT_SPREAD * 100.0 * (most - counts) / most
    return scores


def static_preference(spec: Mapping[str, Any], node: Object) -> float:
    """Preferred node affinity, PreferNoSchedule taints and image locality of one node."""
    return (
        WEIGHT_AFFINITY * _affinity(spec, node)
        - WEIGHT_TAINTS * _untolerated(spec, node)
        + WEIGHT_IMAGE * _image_share(spec, node)
    )


def _affinity(spec: Mapping[str, Any], node: Object) -> float:
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    preferred = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    total = sum(term["weight"] for term in preferred)
    if not total:
        return 0.0
    labels, name = node["metadata"].get("labels") or {}, node["metadata"]["name"]
    met = sum(t["weight"] for t in preferred if matches_node_selector_term(t["preference"], labels, name))
    return 100.0 * float(met) / float(total)


def _untolerated(spec: Mapping[str, Any], node: Object) -> float:
    soft = [t for t in (node.get("spec") or {}).get("taints") or () if t["effect"] == "PreferNoSchedule"]
    if not soft:
        return 0.0
    tolerations = spec.get("tolerations") or ()
    return 100.0 * sum(not any(tolerates(t, taint) for t in tolerations) for taint in soft) / len(soft)


def _image_share(spec: Mapping[str, Any], node: Object) -> float:
    present = {name for image in (node.get("status") or {}).get("images") or () for name in image.get("names") or ()}
    wanted = [container.get("image", "") for container in spec["containers"]]
    return 100.0 * sum(image in present for image in wanted) / len(wanted) if present and wanted else 0.0
