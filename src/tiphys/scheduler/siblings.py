"""
Which selector finds a pod's siblings: its Services' and its controller's.

The scheduler spreads siblings although their pods say nothing of it. The answer is kept by what pods have in common,
until a selector of their namespace changes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from tiphys.api.objects import controller_of
from tiphys.api.selectors import Selector, from_label_selector, from_labels

Object = dict[str, Any]

KINDS = ("ReplicaSet", "StatefulSet", "ReplicationController")
# Answers kept for one namespace.
ANSWERS_MAX = 1024


class Siblings:
    """Selectors by namespace. `put` and `remove` are told of Services and of the controllers in KINDS."""

    def __init__(self) -> None:
        self._services: defaultdict[str, dict[str, Mapping[str, str]]] = defaultdict(dict)
        self._owners: defaultdict[str, dict[tuple[str, str], Mapping[str, Any]]] = defaultdict(dict)
        self._answers: dict[str, dict[Any, Selector]] = {}

    def put(self, obj: Object) -> None:
        """A Service or a controller is there, perhaps with another selector than before."""
        meta, selector = obj["metadata"], obj["spec"].get("selector")
        namespace, held = self._place(obj["kind"], meta["namespace"])
        key = meta["name"] if obj["kind"] == "Service" else (obj["kind"], meta["name"])
        if held.get(key) == selector:
            return
        if selector:
            held[key] = selector
        else:
            held.pop(key, None)
        self._answers.pop(namespace, None)

    def remove(self, obj: Object) -> None:
        self.put({**obj, "spec": {}})

    def _place(self, kind: str, namespace: str) -> tuple[str, dict[Any, Any]]:
        return namespace, self._services[namespace] if kind == "Service" else self._owners[namespace]

    def selector_of(self, pod: Object) -> Selector | None:
        """The selector that finds the pod's siblings; None for a pod that has no such."""
        namespace = pod["metadata"].get("namespace", "")
        if not self._services.get(namespace) and not self._owners.get(namespace):
            return None
        labels, owner = pod["metadata"].get("labels") or {}, controller_of(pod)
        key = (frozenset(labels.items()), (owner["kind"], owner["name"]) if owner is not None else None)
        answers = self._answers.setdefault(namespace, {})
        found = answers.get(key)
        if found is None:
            if len(answers) >= ANSWERS_MAX:
                answers.clear()
            found = answers[key] = self._find(namespace, labels, key[1])
        return None if found.is_empty else found

    def _find(self, namespace: str, labels: Mapping[str, str], owner: tuple[str, str] | None) -> Selector:
        wanted: dict[str, str] = {}
        for selector in self._services[namespace].values():
            if all(labels.get(name) == value for name, value in selector.items()):
                wanted |= selector
        held = self._owners[namespace].get(owner) if owner is not None else None
        if held is None or owner is None:
            return from_labels(wanted)
        if owner[0] == "ReplicationController":
            return from_labels({**wanted, **held})
        return Selector(from_labels(wanted).requirements + from_label_selector(held).requirements)
