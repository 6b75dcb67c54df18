"""
Among the nodes that can take a pod, which one should.

Kubernetes' own mix: prefer free nodes (least allocated) with an even use of CPU and memory (balanced), preferred node
affinity, few untolerated PreferNoSchedule taints, the image being there (`images.py`), pods spread (`spread.py`) and
near those they like (`affinity.py`). Each part gives 0 … 100; weights are Kubernetes'. Parts that look at a row alone
are kept by shape; the others compare the rows that are feasible now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiphys.api.pods import requests_of, tolerates
from tiphys.api.selectors import matches_node_selector_term
from tiphys.scheduler.nodes import CPU, MEMORY, Load, Mask, NodeTable
from tiphys.scheduler.terms import PREFERRED

Object = dict[str, Any]
Scores = NDArray[np.float64]

WEIGHT_SPREAD = 2.0
WEIGHT_POD_AFFINITY = 2.0
WEIGHT_NODE_AFFINITY = 2.0
WEIGHT_TAINTS = 3.0
WEIGHT_IMAGE = 1.0

# A container without a request still costs something: Kubernetes' assumption for scoring.
ASSUMED = {"cpu": "100m", "memory": str(200 * 1024 * 1024)}


def scored_of(pod: Object) -> tuple[int, int]:
    """CPU and memory of a pod as they count for scores."""
    spec = pod["spec"]
    filled = {name: [_assumed(c) for c in spec.get(name) or ()] for name in ("containers", "initContainers")}
    found = requests_of({**pod, "spec": {**spec, **filled}})
    return found.get("cpu", 0), found.get("memory", 0)


def _assumed(container: Object) -> Object:
    resources = container.get("resources") or {}
    return {**container, "resources": {**resources, "requests": {**ASSUMED, **(resources.get("requests") or {})}}}


def resource_scores(table: NodeTable, load: Load) -> Scores:
    """Least allocated plus balanced allocation over CPU and memory, 0 … 200."""
    room = np.maximum(table.allocatable[: MEMORY + 1], 1)
    taken = np.minimum((table.scored + np.array(load.scored)[:, None]) / room, 1.0)
    scores: Scores = 100.0 * (1.0 - (taken[0] + taken[1]) / 2.0)
    asks = load.request.get(CPU, 0), load.request.get(MEMORY, 0)
    # Whoever asks for nothing unbalances nothing; all of them would go to the most even node.
    if any(asks):
        used = np.minimum((table.used[: MEMORY + 1] + np.array(asks)[:, None]) / room, 1.0)
        scores += 100.0 * (1.0 - np.abs(used[0] - used[1]) / 2.0)
    return scores


def resource_score(table: NodeTable, load: Load, row: int) -> float:
    """The same for one row: what a placed pod changes, in plain numbers, which arrays of one are slow at."""
    offered, used, scored = table.allocatable.item, table.used.item, table.scored.item
    cpus, bytes_ = max(offered(CPU, row), 1), max(offered(MEMORY, row), 1)
    cpu = min((scored(CPU, row) + load.scored[CPU]) / cpus, 1.0)
    memory = min((scored(MEMORY, row) + load.scored[MEMORY]) / bytes_, 1.0)
    score = 100.0 * (1.0 - (cpu + memory) / 2.0)
    asked_cpu, asked_memory = load.request.get(CPU, 0), load.request.get(MEMORY, 0)
    if asked_cpu or asked_memory:
        cpu = min((used(CPU, row) + asked_cpu) / cpus, 1.0)
        memory = min((used(MEMORY, row) + asked_memory) / bytes_, 1.0)
        score += 100.0 * (1.0 - abs(cpu - memory) / 2.0)
    return score


def most_is_best(raw: Scores, feasible: Mask) -> Scores | None:
    """A share of 100 by what the best feasible row has; None where they are all alike."""
    most = float(raw[feasible].max(initial=0.0))
    return raw * (100.0 / most) if most > 0 else None


def liking(spec: Mapping[str, Any], node: Object) -> float:
    """The weights of the preferred node affinity terms that a node meets."""
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    terms = affinity.get(PREFERRED) or ()
    if not terms:
        return 0.0
    labels, name = node["metadata"].get("labels") or {}, node["metadata"]["name"]
    return float(sum(t["weight"] for t in terms if matches_node_selector_term(t["preference"], labels, name)))


def soft_taints(spec: Mapping[str, Any], node: Object) -> float:
    """How many PreferNoSchedule taints of a node the pod does not tolerate."""
    soft = [t for t in (node.get("spec") or {}).get("taints") or () if t["effect"] == "PreferNoSchedule"]
    tolerations = [t for t in spec.get("tolerations") or () if t.get("effect") in (None, "", "PreferNoSchedule")]
    return float(sum(not any(tolerates(t, taint) for t in tolerations) for taint in soft))
