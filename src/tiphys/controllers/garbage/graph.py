"""
Who depends on whom: every object with its owners, kept from events. Keyed by uid, which names come and go under.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.api.objects import is_deleting, key_of, revision_of, uid_of
from tiphys.api.resources import Resource

Object = dict[str, Any]
Owner = Mapping[str, Any]

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"


@dataclass(frozen=True, slots=True)
class Item:
    """What matters of one object. `version` is its resourceVersion."""

    resource: Resource
    key: tuple[str, str]
    uid: str
    version: str
    owners: tuple[Owner, ...] = ()
    deleting: bool = False
    finalizers: tuple[str, ...] = ()

    @property
    def waits_for_dependents(self) -> bool:
        return self.deleting and FOREGROUND in self.finalizers

    @property
    def frees_dependents(self) -> bool:
        return self.deleting and ORPHAN in self.finalizers

    def same_ties(self, other: Item | None) -> bool:
        """Whether nothing has changed that this room cares for."""
        if other is None:
            return False
        return (self.owners, self.deleting, self.finalizers) == (other.owners, other.deleting, other.finalizers)


def item_of(resource: Resource, obj: Object) -> Item:
    meta = obj["metadata"]
    owners, finalizers = tuple(meta.get("ownerReferences") or ()), tuple(meta.get("finalizers") or ())
    return Item(resource, key_of(obj), uid_of(obj), revision_of(obj), owners, is_deleting(obj), finalizers)


class Graph:
    """All items, and the uids that depend on each uid (whether or not that one exists)."""

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self._dependents: defaultdict[str, set[str]] = defaultdict(set)

    def get(self, uid: str) -> Item | None:
        return self._items.get(uid)

    def dependents(self, uid: str) -> Sequence[Item]:
        return [self._items[dependent] for dependent in self._dependents.get(uid, ())]

    def put(self, item: Item) -> Item | None:
        """Keep the item; returns what was held before."""
        held = self._items.get(item.uid)
        self._items[item.uid] = item
        if held is None or held.owners != item.owners:
            self._untie(held)
            for owner in item.owners:
                self._dependents[owner["uid"]].add(item.uid)
        return held

    def remove(self, uid: str) -> Item | None:
        """Forget the item; who depends on it stays known."""
        held = self._items.pop(uid, None)
        self._untie(held)
        return held

    def _untie(self, item: Item | None) -> None:
        for owner in item.owners if item is not None else ():
            dependents = self._dependents.get(owner["uid"])
            if dependents is not None:
                dependents.discard(item.uid if item is not None else "")
                if not dependents:
                    del self._dependents[owner["uid"]]
