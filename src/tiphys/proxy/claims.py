"""
The joined rules of all Services and network policies, and the least change when one of them changes. Pure.

Services share chains (`pick-3`) and may even name the same external address; each thing has claimants, exists while
it has one, and has the content that its first claimant (by name) gives it. So two nodes never disagree.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping

from tiphys.network.rules import (
    Chain,
    Change,
    Collection,
    DropChain,
    DropCollection,
    DropElements,
    PutChain,
    PutCollection,
    PutElements,
    Ruleset,
)

# Namespace and name of a Service, or a word and what it is about.
Owner = tuple[str, ...]
# ("chain", name), ("collection", name), or ("element", collection, key).
Item = tuple[str, ...]
Content = Chain | Collection | str


class Claims:
    """`update` takes what an owner now adds and gives the changes of the table."""

    def __init__(self) -> None:
        self._contributions: dict[Owner, Ruleset] = {}
        self._owners: dict[Item, tuple[Owner, ...]] = {}

    def __iter__(self) -> Iterator[Owner]:
        return iter(list(self._contributions))

    def of(self, owner: Owner) -> Ruleset:
        """What the owner adds at present."""
        return self._contributions.get(owner) or Ruleset()

    def update(self, updates: Mapping[Owner, Ruleset]) -> list[Change]:
        """Replace the contributions of several owners; an empty Ruleset takes one away."""
        touched: dict[Item, Content | None] = {}
        for owner, ruleset in updates.items():
            for item in {**_items(self.of(owner)), **_items(ruleset)}:
                touched.setdefault(item, self._content(item))
        for owner, ruleset in updates.items():
            self._replace(owner, ruleset)
        after = {item: self._content(item) for item in touched}
        return _changes((item, after[item]) for item in touched if after[item] != touched[item])

    def _replace(self, owner: Owner, ruleset: Ruleset) -> None:
        before, after = _items(self.of(owner)), _items(ruleset)
        for item in before:
            if item not in after:
                left = tuple(other for other in self._owners[item] if other != owner)
                if left:
                    self._owners[item] = left
                else:
                    del self._owners[item]
        for item in after:
            if item not in before:
                self._owners[item] = tuple(sorted((*self._owners.get(item, ()), owner)))
        if after:
            self._contributions[owner] = ruleset
        else:
            self._contributions.pop(owner, None)

    def _content(self, item: Item) -> Content | None:
        owners = self._owners.get(item)
        return _look_up(self._contributions[owners[0]], item) if owners else None


def _items(ruleset: Ruleset) -> dict[Item, Hashable]:
    items: dict[Item, Hashable] = {("chain", name): None for name in ruleset.chains}
    items |= {("collection", name): None for name in ruleset.collections}
    for collection, elements in ruleset.elements.items():
        items |= {("element", collection, key): None for key in elements}
    return items


def _look_up(ruleset: Ruleset, item: Item) -> Content:
    match item:
        case ("chain", name):
            return ruleset.chains[name]
        case ("collection", name):
            return ruleset.collections[name]
    return ruleset.elements[item[1]][item[2]]


def _changes(items: Iterable[tuple[Item, Content | None]]) -> list[Change]:
    """One change for each chain and collection, one for all elements of a collection that come, and that go."""
    changes: list[Change] = []
    put: dict[str, dict[str, str]] = {}
    gone: dict[str, list[str]] = {}
    for item, content in items:
        match item, content:
            case ("chain", name), None:
                changes.append(DropChain(name))
            case ("collection", name), None:
                changes.append(DropCollection(name))
            case ("element", collection, key), None:
                gone.setdefault(collection, []).append(key)
            case ("element", collection, key), str(value):
                put.setdefault(collection, {})[key] = value
            case _, Chain() as chain:
                changes.append(PutChain(chain))
            case _, Collection() as made:
                changes.append(PutCollection(made))
    dropped = {change.name for change in changes if isinstance(change, DropCollection)}
    changes += [DropElements(name, tuple(keys)) for name, keys in gone.items() if name not in dropped]
    return changes + [PutElements(collection, elements) for collection, elements in put.items()]
