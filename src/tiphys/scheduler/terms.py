"""
Whom a pod wants near or far: affinity terms as records, compared and kept by their content.

A term without namespaces means those of its own pod; namespaces and a namespaceSelector together mean either. Label
keys that a term matches or mismatches are part of its selector: the API server has put them there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tiphys.api.selectors import Labels, Selector, from_label_selector

Object = dict[str, Any]

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


class Namespaces:
    """The labels of namespaces, for terms that select by them. `version` counts the changes."""

    def __init__(self) -> None:
        self._labels: dict[str, Labels] = {}
        self.version = 0

    def labels_of(self, name: str) -> Labels:
        return self._labels.get(name, {})

    def put(self, name: str, labels: Labels) -> bool:
        """True if they are others than before."""
        if self._labels.get(name) == labels:
            return False
        self._labels[name] = labels
        self.version += 1
        return True

    def remove(self, name: str) -> None:
        if self._labels.pop(name, None) is not None:
            self.version += 1


@dataclass(frozen=True, slots=True)
class PodSelector:
    """Which pods are meant, and where. No `namespace_selector` selects no namespace besides those named."""

    namespaces: frozenset[str]
    selector: Selector
    namespace_selector: Selector | None = None

    def matches(self, namespace: str, labels: Labels, known: Namespaces) -> bool:
        if not self.selector.matches(labels):
            return False
        if namespace in self.namespaces:
            return True
        return self.namespace_selector is not None and self.namespace_selector.matches(known.labels_of(namespace))


@dataclass(frozen=True, slots=True)
class Term:
    """Pods that are meant, and the label that says what "near" is."""

    topology_key: str
    pods: PodSelector


def term_of(term: Mapping[str, Any], namespace: str) -> Term:
    """A PodAffinityTerm of a pod in `namespace`."""
    named, by_label = term.get("namespaces") or (), term.get("namespaceSelector")
    if not named and by_label is None:
        named = (namespace,)
    selects_namespaces = from_label_selector(by_label) if by_label is not None else None
    pods = PodSelector(frozenset(named), from_label_selector(term.get("labelSelector")), selects_namespaces)
    return Term(term.get("topologyKey", ""), pods)


def required(pod: Object, kind: str) -> tuple[Term, ...]:
    """The required terms of a pod's `podAffinity` or `podAntiAffinity`."""
    terms = _side(pod, kind).get(REQUIRED) or ()
    return tuple(term_of(term, pod["metadata"]["namespace"]) for term in terms)


def preferred(pod: Object) -> tuple[tuple[int, Term], ...]:
    """What a pod would like, with its weight: below zero for pods that it avoids."""
    return tuple(_preferred(pod))


def _preferred(pod: Object) -> Iterator[tuple[int, Term]]:
    for kind, sign in (("podAffinity", 1), ("podAntiAffinity", -1)):
        for item in _side(pod, kind).get(PREFERRED) or ():
            yield sign * item["weight"], term_of(item["podAffinityTerm"], pod["metadata"]["namespace"])


def _side(pod: Object, kind: str) -> Mapping[str, Any]:
    return (pod["spec"].get("affinity") or {}).get(kind) or {}


def has_terms(pod: Object) -> bool:
    """Whether the pod has any term about other pods."""
    affinity = pod["spec"].get("affinity")
    return bool(affinity) and bool(affinity.get("podAffinity") or affinity.get("podAntiAffinity"))
