"""
The scheduler's rules about other pods, a node and a pod at a time, as Kubernetes' documentation words them.

Slow and plain on purpose: what the arrays decide is held against it.
"""

import math
from collections import Counter

from tiphys.api.selectors import from_label_selector, matches_node_selector_term
from tiphys.scheduler import affinity, spread
from tiphys.scheduler.filters import taints
from tiphys.scheduler.terms import PREFERRED, REQUIRED

# What pods that say nothing get: key → skew.
DEFAULTS = {"kubernetes.io/hostname": 3, "topology.kubernetes.io/zone": 5}


def labels(obj):
    return obj["metadata"].get("labels") or {}


def affine(pod, node):
    wanted = pod["spec"].get("nodeSelector") or {}
    terms = pod["spec"].get("affinity", {}).get("nodeAffinity", {}).get(REQUIRED, {}).get("nodeSelectorTerms")
    name = node["metadata"]["name"]
    fits = terms is None or any(matches_node_selector_term(term, labels(node), name) for term in terms)
    return fits and all(labels(node).get(key) == value for key, value in wanted.items())


def terms_of(pod, kind, required=True):
    found = pod["spec"].get("affinity", {}).get(kind, {})
    return found.get(REQUIRED if required else PREFERRED, [])


def term_finds(term, owner, other, namespaces):
    named, selector = term.get("namespaces", []), term.get("namespaceSelector")
    if not named and selector is None:
        named = [owner["metadata"]["namespace"]]
    where = other["metadata"]["namespace"]
    by_label = selector is not None and from_label_selector(selector).matches(namespaces.get(where, {}))
    return (where in named or by_label) and from_label_selector(term.get("labelSelector")).matches(labels(other))


class Naive:
    """Nodes, placed pods as (pod, node name), and the labels of namespaces."""

    def __init__(self, nodes, placed, namespaces):
        self.nodes = {node["metadata"]["name"]: node for node in nodes}
        self.placed, self.namespaces = placed, namespaces

    def reason(self, pod, node):
        """Why the node does not take the pod, or None."""
        return self.spread_reason(pod, node) or self.affinity_reason(pod, node)

    # spread

    def siblings_on(self, pod, constraint, node):
        selector = from_label_selector(constraint.get("labelSelector"))
        return sum(
            where == node["metadata"]["name"]
            and other["metadata"]["namespace"] == pod["metadata"]["namespace"]
            and "deletionTimestamp" not in other["metadata"]
            and selector.matches(labels(other))
            for other, where in self.placed
        )

    def counts(self, pod, constraint, keys):
        """Pods by domain, over the nodes that count."""
        found = Counter()
        for node in self.nodes.values():
            included = constraint.get("nodeAffinityPolicy") == "Ignore" or affine(pod, node)
            if constraint.get("nodeTaintsPolicy") == "Honor" and taints(pod["spec"], node) is not None:
                included = False
            if included and all(key in labels(node) for key in keys):
                found[labels(node)[constraint["topologyKey"]]] += self.siblings_on(pod, constraint, node)
        return found

    def spread_reason(self, pod, node):
        said = pod["spec"].get("topologySpreadConstraints", [])
        hard = [constraint for constraint in said if constraint["whenUnsatisfiable"] == "DoNotSchedule"]
        for constraint in hard:
            key = constraint["topologyKey"]
            if key not in labels(node):
                return spread.NO_LABEL
            found = self.counts(pod, constraint, [each["topologyKey"] for each in hard])
            least = min(found.values(), default=math.inf) if len(found) >= constraint.get("minDomains", 1) else 0
            itself = from_label_selector(constraint.get("labelSelector")).matches(labels(pod))
            if found.get(labels(node)[key], 0) + itself - least > constraint["maxSkew"]:
                return spread.TOO_SKEWED
        return None

    def spread_scores(self, pod, feasible, siblings=None):
        """Points by node name, over names of feasible nodes. `siblings` is the selector for pods that say nothing."""
        said = pod["spec"].get("topologySpreadConstraints", [])
        soft = [constraint for constraint in said if constraint["whenUnsatisfiable"] == "ScheduleAnyway"]
        keys = [constraint["topologyKey"] for constraint in soft]
        if not said:
            soft = [{"topologyKey": key, "maxSkew": skew, "labelSelector": siblings} for key, skew in DEFAULTS.items()]
        ranked = [name for name in feasible if all(key in labels(self.nodes[name]) for key in keys)]
        total = dict.fromkeys(ranked, 0.0)
        for constraint in soft:
            for name, points in self.points(pod, constraint, keys, ranked).items():
                total[name] += points
        rounded = {name: math.floor(value + 0.5) for name, value in total.items()}
        most, least = max(rounded.values(), default=0), min(rounded.values(), default=0)
        points = {name: 100 * (most + least - value) / most if most else 100 for name, value in rounded.items()}
        return {name: points.get(name, 0.0) for name in feasible}

    def points(self, pod, constraint, keys, ranked):
        """What one soft constraint has against each node that has its label."""
        key = constraint["topologyKey"]
        there = [name for name in ranked if key in labels(self.nodes[name])]
        if key == "kubernetes.io/hostname":
            held, size = {n: self.siblings_on(pod, constraint, self.nodes[n]) for n in there}, len(ranked)
        else:
            found = self.counts(pod, constraint, keys or [key])
            held = {name: found.get(labels(self.nodes[name])[key], 0) for name in there}
            size = len({labels(self.nodes[name])[key] for name in there})
        return {name: held[name] * math.log(size + 2) + constraint["maxSkew"] - 1 for name in there}

    # affinity

    def near(self, node, term, pods):
        """Whether one of the pods is in the node's domain."""
        key = term["topologyKey"]
        here = labels(node).get(key)
        return here is not None and any(labels(self.nodes[where]).get(key) == here for _, where in pods)

    def found(self, owner, *terms):
        return [
            (other, where)
            for other, where in self.placed
            if all(term_finds(term, owner, other, self.namespaces) for term in terms)
        ]

    def affinity_reason(self, pod, node):
        near = terms_of(pod, "podAffinity")
        if near:
            found = self.found(pod, *near)
            labelled = all(term["topologyKey"] in labels(node) for term in near)
            somewhere = any(term["topologyKey"] in labels(self.nodes[w]) for term in near for _, w in found)
            first = not somewhere and all(term_finds(term, pod, pod, self.namespaces) for term in near)
            if not labelled or not (first or all(self.near(node, term, found) for term in near)):
                return affinity.NOT_NEAR
        if any(self.near(node, term, self.found(pod, term)) for term in terms_of(pod, "podAntiAffinity")):
            return affinity.TOO_NEAR
        for other, where in self.placed:
            for term in terms_of(other, "podAntiAffinity"):
                if term_finds(term, other, pod, self.namespaces) and self.near(node, term, [(other, where)]):
                    return affinity.KEPT_AWAY
        return None

    def liked(self, pod, node):
        """How much the pod and those that are placed like each other on a node."""
        total = 0
        for kind, sign in (("podAffinity", 1), ("podAntiAffinity", -1)):
            for item in terms_of(pod, kind, required=False):
                term = item["podAffinityTerm"]
                total += sign * item["weight"] * sum(self.near(node, term, [p]) for p in self.found(pod, term))
            for other, where in self.placed:
                held = [(item["weight"], item["podAffinityTerm"]) for item in terms_of(other, kind, required=False)]
                held += [(1, term) for term in terms_of(other, kind) if kind == "podAffinity"]
                for weight, term in held:
                    meant = term_finds(term, other, pod, self.namespaces)
                    total += sign * weight * (meant and self.near(node, term, [(other, where)]))
        return total
