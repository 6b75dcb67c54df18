"""
How a pod stands to other pods: spread, affinity, and those that keep it away; worked out once for pods alike.

Most pods say nothing and nobody says anything of them: they have no relation, and their decision costs nothing more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import orjson

from tiphys.api.selectors import Selector
from tiphys.scheduler.affinity import PodTerms, between_least_and_most, kept_away, likings
from tiphys.scheduler.filters import node_affinity, taints
from tiphys.scheduler.groups import GroupKey, group_key
from tiphys.scheduler.holders import Held
from tiphys.scheduler.node_mask import NodeMask
from tiphys.scheduler.nodes import Mask, NodeTable
from tiphys.scheduler.objections import Objection
from tiphys.scheduler.scores import WEIGHT_POD_AFFINITY, WEIGHT_SPREAD, Scores
from tiphys.scheduler.spread import Included, Spread, constraints_of, default_constraints
from tiphys.scheduler.terms import PodSelector, has_terms
from tiphys.scheduler.topology import Counts
from tiphys.scheduler.world import World

Object = dict[str, Any]

RELATIONS_MAX = 1024


class Relation:
    """Pods of one namespace with the same labels, constraints and terms. Made and refreshed by `Relations`."""

    def __init__(self, world: World, pod: Object, siblings: Selector | None) -> None:
        self._world = world
        self._group: GroupKey = group_key(pod)
        self._labels = dict(self._group[1])
        said = constraints_of(pod)
        self._strict = bool(said)
        constraints = said or (default_constraints(siblings) if siblings is not None else ())
        self._spread = Spread(world.table, world.topology, constraints, self._labels)
        self._included = _included(world.table, pod["spec"])
        self._terms = PodTerms(pod, world.table, world.topology)
        self._wants_itself = all(self._matches(term.pods) for term in self._terms.near)
        self._held: list[Held] = []
        self._seen = self._namespaces = -1

    def refresh(self) -> None:
        """Look at the terms of pods that were placed since, and at nodes that changed."""
        holders, namespaces = self._world.holders, self._world.namespaces
        if self._namespaces != namespaces.version:
            self._namespaces, self._seen, self._held = namespaces.version, 0, []
            self._wants_itself = all(self._matches(term.pods) for term in self._terms.near)
        if self._seen != holders.epoch:
            fresh = [held for held in holders.since(self._seen) if self._matches(held.term.pods)]
            self._held = fresh + [held for held in self._held if held.rows]
            self._seen = holders.epoch
        if self._spread.refuses or self._spread.prefers:
            self._spread.prepare(self._included, strict=self._strict)

    def objections(self) -> Iterator[Objection]:
        """The rows that other pods make unfit, in Kubernetes' order."""
        if self._spread.refuses:
            yield from self._spread.objections(self._siblings)
        if self._terms.refuses:
            yield from self._terms.objections(self._world.groups.tally, wants_itself=self._wants_itself)
        if self._held:
            yield from kept_away(self._world.topology, self._held, self._world.table.rows)

    def scores(self, feasible: Mask) -> Scores | None:
        """What other pods make of the feasible rows; None where they make no difference."""
        total: Scores | None = None
        world = self._world
        if self._spread.prefers:
            total = WEIGHT_SPREAD * self._spread.scores(self._siblings, feasible)
        if self._terms.preferred or self._held:
            raw = likings(world.topology, self._terms, self._held, world.groups.tally, world.table.rows)
            liked = between_least_and_most(raw, feasible) if raw is not None else None
            if liked is not None:
                total = WEIGHT_POD_AFFINITY * liked + (0.0 if total is None else total)
        return total

    def _siblings(self, selector: Selector) -> Counts:
        """Pods that a constraint's selector finds; those on their way out no longer count."""
        return self._world.groups.tally((PodSelector(frozenset((self._group[0],)), selector),), with_ending=False)

    def _matches(self, pods: PodSelector) -> bool:
        return pods.matches(self._group[0], self._labels, self._world.namespaces)


def _included(table: NodeTable, spec: Any) -> Included:
    limited = spec.get("nodeSelector") or (spec.get("affinity") or {}).get("nodeAffinity")
    affine = NodeMask(table, lambda node: node_affinity(spec, node) is None, lambda: None) if limited else None
    return Included(affine, NodeMask(table, lambda node: taints(spec, node) is None, lambda: None))


class Relations:
    """The relations of pods seen lately."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: OrderedDict[Any, Relation] = OrderedDict()

    def of(self, pod: Object) -> Relation | None:
        """How the pod stands to others, refreshed; None if it does not matter."""
        spec = pod["spec"]
        said = spec.get("topologySpreadConstraints")
        siblings = None if said else self._world.siblings.selector_of(pod)
        if not said and siblings is None and not has_terms(pod) and not len(self._world.holders):
            return None
        parts = [said, spec.get("affinity"), spec.get("nodeSelector"), spec.get("tolerations") if said else None]
        key = (group_key(pod), orjson.dumps(parts, option=orjson.OPT_SORT_KEYS), siblings)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Relation(self._world, pod, siblings)
            if len(self._known) > RELATIONS_MAX:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        found.refresh()
        return found
