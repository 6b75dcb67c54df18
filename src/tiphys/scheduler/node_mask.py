"""A yes or no about every node, asked once and again only about nodes that changed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from tiphys.api.selectors import matches_node_selector_term
from tiphys.scheduler.nodes import Mask, NodeTable
from tiphys.scheduler.topology import Topology

Object = dict[str, Any]
Predicate = Callable[[Object], bool]
NodeSelectorTerms = Sequence[Mapping[str, Any]]

MASKS_MAX = 512


class NodeMask:
    """The answers by row. What the predicate reads of a node has to be in `static_facts`."""

    def __init__(self, table: NodeTable, predicate: Predicate, candidates: Callable[[], Mask | None]) -> None:
        self._table = table
        self._predicate = predicate
        self._candidates = candidates
        self._rows: Mask = np.zeros(0, dtype=np.bool_)
        self._seen = 0

    def rows(self) -> Mask:
        table = self._table
        if self._seen == table.facts.epoch and len(self._rows) == table.rows:
            return self._rows
        changed = table.facts.since(self._seen) if len(self._rows) == table.rows else None
        self._seen = table.facts.epoch
        if changed is None:
            self._rows = np.zeros(table.rows, dtype=np.bool_)
            asked = self._candidates()
            changed = set(np.flatnonzero(table.exists if asked is None else table.exists & asked).tolist())
        for row in changed:
            node = table.objects[row]
            self._rows[row] = node is not None and self._predicate(node)
        return self._rows


class NodeMasks:
    """The masks of node selectors used lately: of volumes and of storage classes."""

    def __init__(self, table: NodeTable, topology: Topology) -> None:
        self._table = table
        self._topology = topology
        self._known: OrderedDict[bytes, NodeMask] = OrderedDict()

    def of(self, terms: NodeSelectorTerms) -> Mask:
        """The rows whose node meets one of the terms."""
        key = orjson.dumps(terms)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = NodeMask(
                self._table, lambda node: meets(terms, node), lambda: self._candidates(terms)
            )
            if len(self._known) > MASKS_MAX:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return found.rows()

    def _candidates(self, terms: NodeSelectorTerms) -> Mask | None:
        """A volume of one machine names it: then nobody looks at all the others. None is "any"."""
        found: Mask = np.zeros(self._table.rows, dtype=np.bool_)
        for term in terms:
            named = next((e for e in term.get("matchExpressions") or () if e.get("operator") == "In"), None)
            if named is None:
                return None
            domains = self._topology.of(named["key"])
            numbers = [domains.numbers[value] for value in named.get("values") or () if value in domains.numbers]
            found |= np.isin(domains.ids, numbers)
        return found


def meets(terms: NodeSelectorTerms, node: Object) -> bool:
    """Whether a node meets one of the terms."""
    meta = node["metadata"]
    labels = meta.get("labels") or {}
    return any(matches_node_selector_term(term, labels, meta["name"]) for term in terms)
