"""
Packet rules as data: what one nftables table holds, the changes to it, and their text. Pure.

Rules and elements are nft's own words (`ip daddr @nodes accept`), because a second language over them would only hide
what the kernel is told; the structure around them is typed, so that two rulesets can be compared and a transaction can
be ordered.

The order inside a transaction: containers first, then rules, then elements out and in, then what nobody refers to any
more is deleted. One transaction is applied as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Chain:
    """`hook` is "" for a chain that others jump to, else `type nat hook prerouting priority -100; policy accept;`."""

    name: str
    rules: tuple[str, ...] = ()
    hook: str = ""


@dataclass(frozen=True, slots=True)
class Collection:
    """
    A set, or with `value` a map. `key` and `value` are expressions whose types count (`ip daddr . th dport`), or
    "verdict". `options` such as `flags dynamic; timeout 3h;`: what packets add to it is never listed or restored.
    """

    name: str
    key: str
    value: str = ""
    options: str = ""

    @property
    def kind(self) -> str:
        return "map" if self.value else "set"


# Element key → value; the value is "" in a set.
Elements = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PutChain:
    """Make the chain, or give it other rules."""

    chain: Chain


@dataclass(frozen=True, slots=True)
class DropChain:
    name: str


@dataclass(frozen=True, slots=True)
class PutCollection:
    collection: Collection


@dataclass(frozen=True, slots=True)
class DropCollection:
    name: str


@dataclass(frozen=True, slots=True)
class PutElements:
    """Add elements, or give them other values."""

    collection: str
    elements: Elements


@dataclass(frozen=True, slots=True)
class DropElements:
    """Take elements out; those that are not in are ignored."""

    collection: str
    keys: tuple[str, ...]


Change = PutChain | DropChain | PutCollection | DropCollection | PutElements | DropElements


@dataclass(slots=True)
class Ruleset:
    """The whole content of one table."""

    chains: dict[str, Chain] = field(default_factory=dict)
    collections: dict[str, Collection] = field(default_factory=dict)
    elements: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, changes: Iterable[Change]) -> Ruleset:
        """What the changes make of an empty table."""
        ruleset = cls()
        for change in changes:
            ruleset.perform(change)
        return ruleset

    def perform(self, change: Change) -> None:
        """Take the change over into this ruleset."""
        match change:
            case PutChain(chain):
                self.chains[chain.name] = chain
            case DropChain(name):
                self.chains.pop(name, None)
            case PutCollection(collection):
                self.collections[collection.name] = collection
                self.elements.setdefault(collection.name, {})
            case DropCollection(name):
                self.collections.pop(name, None)
                self.elements.pop(name, None)
            case PutElements(name, elements):
                self.elements[name].update(elements)
            case DropElements(name, keys):
                for key in keys:
                    self.elements[name].pop(key, None)


def difference(old: Ruleset, new: Ruleset) -> list[Change]:
    """The least changes that lead from `old` to `new`; none if they are the same."""
    changes: list[Change] = []
    changes += [PutCollection(c) for name, c in new.collections.items() if old.collections.get(name) != c]
    changes += [PutChain(chain) for name, chain in new.chains.items() if old.chains.get(name) != chain]
    for name in new.collections:
        before, after = old.elements.get(name, {}), new.elements.get(name, {})
        gone = tuple(key for key in before if key not in after)
        put = {key: value for key, value in after.items() if before.get(key) != value}
        changes += [DropElements(name, gone)] if gone else []
        changes += [PutElements(name, put)] if put else []
    changes += [DropChain(name) for name in old.chains if name not in new.chains]
    changes += [DropCollection(name) for name in old.collections if name not in new.collections]
    return changes


def transaction(table: str, changes: Sequence[Change], committed: Ruleset) -> str:
    """The text that performs `changes` on a table that holds `committed`; "" where nothing would change."""
    return "\n".join(
        [line for change in changes if isinstance(change, PutCollection) for line in _declare(table, change, committed)]
        + [line for change in changes if isinstance(change, PutChain) for line in _make_chain(table, change, committed)]
        + [line for change in changes if isinstance(change, PutChain) for line in _fill_chain(table, change, committed)]
        + [line for change in changes for line in _take_out(table, change, committed)]
        + [line for change in changes for line in _put_in(table, change, committed)]
        + [line for change in changes if isinstance(change, DropChain) for line in _empty(table, change, committed)]
        + [line for change in changes for line in _delete(table, change, committed)]
    )


def whole(table: str, ruleset: Ruleset) -> str:
    """The text that replaces whatever the table holds by `ruleset`, at once."""
    changes: list[Change] = [PutCollection(collection) for collection in ruleset.collections.values()]
    changes += [PutChain(chain) for chain in ruleset.chains.values()]
    changes += [PutElements(name, elements) for name, elements in ruleset.elements.items() if elements]
    # A table that is not there cannot be deleted: add it first.
    fresh = f"add table {table}\ndelete table {table}\nadd table {table}\n"
    return fresh + transaction(table, changes, Ruleset())


def _declare(table: str, change: PutCollection, committed: Ruleset) -> list[str]:
    wanted = change.collection
    if committed.collections.get(wanted.name) == wanted:
        return []
    keyed = f"typeof {wanted.key}" + (f" : {wanted.value}" if wanted.value else "")
    return [f"add {wanted.kind} {table} {wanted.name} {{ {keyed}; {wanted.options} }}"]


def _make_chain(table: str, change: PutChain, committed: Ruleset) -> list[str]:
    chain = change.chain
    if chain.name in committed.chains:
        return []
    return [f"add chain {table} {chain.name}" + (f" {{ {chain.hook} }}" if chain.hook else "")]


def _fill_chain(table: str, change: PutChain, committed: Ruleset) -> list[str]:
    chain = change.chain
    held = committed.chains.get(chain.name)
    if held == chain:
        return []
    flush = [f"flush chain {table} {chain.name}"] if held is not None and held.rules else []
    return flush + [f"add rule {table} {chain.name} {rule}" for rule in chain.rules]


def _take_out(table: str, change: Change, committed: Ruleset) -> list[str]:
    if isinstance(change, DropElements):
        held = committed.elements.get(change.collection, {})
        keys = [key for key in change.keys if key in held]
    elif isinstance(change, PutElements):
        held = committed.elements.get(change.collection, {})
        keys = [key for key, value in change.elements.items() if held.get(key, value) != value]
    else:
        return []
    return [f"delete element {table} {change.collection} {{ {', '.join(keys)} }}"] if keys else []


def _put_in(table: str, change: Change, committed: Ruleset) -> list[str]:
    if not isinstance(change, PutElements):
        return []
    held = committed.elements.get(change.collection, {})
    new = [f"{key} : {value}" if value else key for key, value in change.elements.items() if held.get(key) != value]
    return [f"add element {table} {change.collection} {{ {', '.join(new)} }}"] if new else []


def _empty(table: str, change: DropChain, committed: Ruleset) -> list[str]:
    """Chains that go together may refer to each other: all are emptied before the first is deleted."""
    return [f"flush chain {table} {change.name}"] if change.name in committed.chains else []


def _delete(table: str, change: Change, committed: Ruleset) -> list[str]:
    if isinstance(change, DropChain) and change.name in committed.chains:
        return [f"delete chain {table} {change.name}"]
    if isinstance(change, DropCollection) and change.name in committed.collections:
        return [f"delete {committed.collections[change.name].kind} {table} {change.name}"]
    return []
