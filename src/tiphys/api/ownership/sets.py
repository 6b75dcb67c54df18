"""
Sets of fields, in the form in which managedFields carry them (fieldsV1).

A set is a tree of dicts: each key is a path element (`f:NAME` a field, `k:{…}` a list item by its keys, `v:…` an item
of a set by its value), and an element belongs to the set itself if its dict is empty or holds the key `.`:

    {"f:data": {".": {}, "f:a": {}}}      .data and .data.a
    {"f:spec": {"f:replicas": {}}}        .spec.replicas alone

All functions are pure; results may share parts with their arguments, so nobody changes a set after it was made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

Fields = dict[str, Any]

ITSELF = "."


def has_itself(node: Fields) -> bool:
    """Whether the element with this node is a member."""
    return not node or ITSELF in node


def union(one: Fields, other: Fields) -> Fields:
    """Members of either; both are roots, which are no members themselves."""
    result = dict(one)
    for element, node in other.items():
        held = result.get(element)
        if held is None or held is node:
            result[element] = node
        elif element != ITSELF:
            result[element] = _union_nodes(held, node)
    return result


def _union_nodes(one: Fields, other: Fields) -> Fields:
    merged = union(one, other)
    if merged and (not one or not other):
        merged[ITSELF] = {}
    return merged


def difference(one: Fields, other: Fields) -> Fields:
    """Members of `one` that are no members of `other`."""
    result: Fields = {}
    for element, node in one.items():
        if element == ITSELF:
            continue
        taken = other.get(element)
        if taken is None:
            result[element] = node
            continue
        left = difference(node, taken)
        if has_itself(node) and not has_itself(taken):
            result[element] = {ITSELF: {}, **left} if left else {}
        elif left:
            result[element] = left
    return result


def intersection(one: Fields, other: Fields) -> Fields:
    """Members of both."""
    result: Fields = {}
    for element, node in one.items():
        if element == ITSELF or element not in other:
            continue
        shared = intersection(node, other[element])
        if has_itself(node) and has_itself(other[element]):
            result[element] = {ITSELF: {}, **shared} if shared else {}
        elif shared:
            result[element] = shared
    return result


def without(one: Fields, prefixes: Fields) -> Fields:
    """`one` without everything at or below the members of `prefixes`."""
    result: Fields = {}
    for element, node in one.items():
        cut = prefixes.get(element)
        if cut is None or element == ITSELF:
            result[element] = node
            continue
        if has_itself(cut):
            continue
        left = without(node, cut)
        if left or not node:
            result[element] = left
    return result


def with_containers(one: Fields) -> Fields:
    """Every element on the way to a member is a member too."""
    result: Fields = {}
    for element, node in one.items():
        if element != ITSELF:
            result[element] = {ITSELF: {}, **with_containers(node)} if node else {}
    return result


def members(one: Fields, path: str = "") -> Iterator[str]:
    """The paths of all members as Kubernetes writes them, sorted: `.spec.containers[name="web"].image`."""
    for element in sorted(element for element in one if element != ITSELF):
        node, at = one[element], path + written(element)
        if has_itself(node):
            yield at
        yield from members(node, at)


def written(element: str) -> str:
    """One element as a path shows it."""
    kind, _, rest = element.partition(":")
    if kind == "f":
        return f".{rest}"
    if kind == "k":
        keys = orjson.loads(rest)
        return f"[{','.join(f'{name}={orjson.dumps(value).decode()}' for name, value in sorted(keys.items()))}]"
    return f"[{rest}]"


def is_valid(node: Any) -> bool:
    """Whether a decoded JSON value is a set at all."""
    if not isinstance(node, dict):
        return False
    return all((key == ITSELF or key[:2] in ("f:", "k:", "v:", "i:")) and is_valid(item) for key, item in node.items())
