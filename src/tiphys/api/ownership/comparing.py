"""Objects to sets of fields: what a value consists of, and what differs between two versions of an object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from tiphys.api.golike import printed
from tiphys.api.ownership.sets import ITSELF, Fields, written
from tiphys.api.ownership.types import (
    KEYED_MODE,
    LEAF,
    LEAF_MODE,
    MAP_MODE,
    SET_MODE,
    STRUCT_MODE,
    BadItem,
    Doubled,
    Type,
    keyed,
    plan_of,
)
from tiphys.api.schema.types import Kind, Message, Shape

_ABSENT: Any = object()


def compare(old: Mapping[str, Any], new: Mapping[str, Any], message: Message) -> tuple[Fields, Fields]:
    """(added or changed, removed) between two objects of a kind. A container that is new or gone counts itself."""
    return _structs(old, new, message)


def _structs(old: Mapping[str, Any], new: Mapping[str, Any], message: Message | None) -> tuple[Fields, Fields]:
    plan = plan_of(message) if message is not None else {}
    changed: Fields = {}
    removed: Fields = {}
    for name, value in new.items():
        held = old.get(name, _ABSENT)
        if held is value or held == value:
            continue
        known = plan.get(name)
        element, of = known if known is not None else (f"f:{name}", LEAF)
        _note(changed, removed, element, _values(held, value, of))
    for name, value in old.items():
        if name not in new:
            known = plan.get(name)
            element, of = known if known is not None else (f"f:{name}", LEAF)
            removed[element] = whole(value, of)
    return changed, removed


Difference = tuple[Fields | None, Fields | None]


def _note(changed: Fields, removed: Fields, element: str, difference: Difference) -> None:
    if difference[0] is not None:
        changed[element] = difference[0]
    if difference[1] is not None:
        removed[element] = difference[1]


def _values(old: Any, new: Any, of: Type) -> Difference:
    """The nodes of one element; None where there is nothing to tell."""
    if old is _ABSENT:
        return whole(new, of), None
    mode = of.mode
    if mode is LEAF_MODE or (not old and not new) or isinstance(old, Doubled) or isinstance(new, Doubled):
        return {}, None
    if mode is STRUCT_MODE:
        changed, removed = _structs(old or {}, new or {}, of.message)
    else:
        try:
            before, after = _items(old, of), _items(new, of)
        except BadItem:
            return {}, None
        changed, removed = _collections(before, after, of.item)
    return changed or None, removed or None


def _items(value: Any, of: Type) -> dict[str, Any]:
    if of.mode is MAP_MODE:
        return {f"f:{name}": item for name, item in (value or {}).items()}
    return keyed(value, of)


def _collections(old: Mapping[str, Any], new: Mapping[str, Any], item: Type) -> tuple[Fields, Fields]:
    changed: Fields = {}
    removed: Fields = {}
    for element, value in new.items():
        held = old.get(element, _ABSENT)
        if held is _ABSENT or held != value:
            _note(changed, removed, element, _values(held, value, item))
    for element, value in old.items():
        if element not in new:
            removed[element] = whole(value, item)
    return changed, removed


def whole(value: Any, of: Type) -> Fields:
    """The node of a value that is new (or gone) with everything in it."""
    mode = of.mode
    if mode is LEAF_MODE or not value or isinstance(value, Doubled):
        return {}
    node: Fields = {ITSELF: {}}
    if mode is STRUCT_MODE:
        plan = of.plan
        for name, item in value.items():
            known = plan.get(name)
            if known is None:
                node[f"f:{name}"] = {}
            else:
                element, inner = known
                node[element] = whole(item, inner) if item and inner.mode is not LEAF_MODE else {}
        return node
    try:
        found = _items(value, of)
    except BadItem:
        return {}
    inner = of.item
    if inner.mode is LEAF_MODE:
        for element in found:
            node[element] = {}
    else:
        for element, item in found.items():
            node[element] = whole(item, inner)
    return node


# what an applied configuration says


class Undeclared(ValueError):
    """A field that the schema does not have, or an item without a key; `path` is where."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__(f"{path}: {text}")


def said_in(value: Mapping[str, Any], message: Message, path: str = "") -> Fields:
    """
    The fields that an applied configuration names. Unlike `whole`, a struct is no member itself unless it is empty: to
    apply one field of it is not to own it. Items of lists and maps are members. Undeclared for what cannot be owned.
    """
    plan = plan_of(message)
    node: Fields = {}
    for name, item in value.items():
        known = plan.get(name)
        if known is None:
            raise Undeclared(f"{path}.{name}", "field not declared in schema")
        node[known[0]] = _said(item, known[1], f"{path}.{name}")
    return node


def _said(value: Any, of: Type, path: str) -> Fields:
    _check_type(value, of, path)
    if of.mode is LEAF_MODE or not value:
        return {}
    if of.mode is STRUCT_MODE:
        assert of.message is not None
        return said_in(value, of.message, path)
    try:
        found = _items(value, of) if of.mode is MAP_MODE else keyed(value, of, unique=True)
    except BadItem as error:
        raise Undeclared(path, str(error)) from None
    inner = of.item
    node: Fields = {}
    for element, item in found.items():
        below = _said(item, inner, path + written(element))
        node[element] = {ITSELF: {}, **below} if below else {}
    return node


_SCALARS: Mapping[Kind, tuple[type, str]] = {
    Kind.STRING: (str, "string"),
    Kind.BYTES: (str, "string"),
    Kind.BOOL: (bool, "boolean"),
    Kind.INT32: (int, "numeric (int or float)"),
    Kind.INT64: (int, "numeric (int or float)"),
}


def _check_type(value: Any, of: Type, path: str) -> None:
    """What is applied must have the type that the schema says; null is any."""
    if value is None or of.field is None:
        return
    if of.mode in (STRUCT_MODE, MAP_MODE):
        wanted: type = dict
        name = "map"
    elif of.mode in (KEYED_MODE, SET_MODE):
        wanted, name = list, "list"
    elif of.field.kind in _SCALARS and (of.field.shape is Shape.ONE or not isinstance(value, list | dict)):
        wanted, name = _SCALARS[of.field.kind]
    else:
        return
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise Undeclared(path, f"expected {name}, got &value.valueUnstructured{{Value:{_go(value)}}}")


def _go(value: Any) -> str:
    """A scalar as Go's %#v shows it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return orjson.dumps(value).decode() if isinstance(value, str | int | float) else printed(value)
