"""
How the value of a field is owned: as a whole, field by field, item by item. Compiled from the schema, once a message.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import orjson

from tiphys.api.schema.types import Field, Kind, Message, Shape

Object = dict[str, Any]


class Mode(Enum):
    """LEAF: owned as a whole. STRUCT: by its fields. MAP: by its keys. KEYED: a list by key fields. SET: by values."""

    LEAF = 0
    STRUCT = 1
    MAP = 2
    KEYED = 3
    SET = 4


# A member costs several times a global name, and every value of every write asks for one.
LEAF_MODE, STRUCT_MODE, MAP_MODE, KEYED_MODE, SET_MODE = Mode


@dataclass(slots=True)
class Type:
    """
    `field` has the message of a struct, or of the items of a map or list.

    What is below is found when it is first asked for (messages refer to themselves) and kept: every create walks it.
    """

    mode: Mode
    field: Field | None = None
    _item: Type | None = None
    _plan: Plan | None = None

    @property
    def message(self) -> Message | None:
        return self.field.message if self.field is not None else None

    @property
    def plan(self) -> Plan:
        """The fields of a struct."""
        if self._plan is None:
            message = self.message
            self._plan = plan_of(message) if message is not None else {}
        return self._plan

    @property
    def item(self) -> Type:
        """The type of each item of a map or list."""
        if self._item is None:
            message = self.message
            struct = message is not None and not message.is_atomic
            self._item = Type(Mode.STRUCT if struct else Mode.LEAF, self.field)
        return self._item


class BadItem(ValueError):
    """A list item that cannot be told from others: it has no key, or the key of another item."""


class Doubled(list[Any]):
    """The items of a list that have one key: such lists are not valid, but they are there."""


LEAF = Type(Mode.LEAF)
_ZEROES: dict[Kind, Any] = {Kind.STRING: "", Kind.INT32: 0, Kind.INT64: 0, Kind.BOOL: False}

Plan = dict[str, tuple[str, Type]]


def plan_of(message: Message) -> Plan:
    """JSON name → (path element, type)."""
    plan = message.plans.get("ownership")
    if plan is None:
        plan = {name: (f"f:{name}", _type_of(field)) for name, field in message.fields.items()}
        message.plans["ownership"] = plan
    assert isinstance(plan, dict)
    return plan


def _type_of(field: Field) -> Type:
    if field.shape is Shape.LIST:
        mode = {"map": Mode.KEYED, "set": Mode.SET}.get(field.list_type, Mode.LEAF)
        return Type(mode, field)
    if field.is_atomic:
        return Type(Mode.LEAF, field)
    if field.shape is Shape.MAP:
        return Type(Mode.MAP, field)
    # The field says itself whether its struct is atomic: one may be granular where most of its type are not.
    if field.kind is Kind.MESSAGE:
        return Type(Mode.STRUCT, field)
    return Type(Mode.LEAF, field)


def keyed(items: Any, of: Type, *, unique: bool = False) -> dict[str, Any]:
    """The items of a list by their path elements, in order. BadItem for one without a key."""
    if of.mode is SET_MODE:
        named = [(f"v:{orjson.dumps(item).decode()}", item) for item in items or ()]
    else:
        assert of.field is not None
        named = [(element_of(item, of.field), item) for item in items or ()]
    found = dict(named)
    if len(found) != len(named):
        return _doubled(named, unique=unique)
    return found


def _doubled(named: list[tuple[str, Any]], *, unique: bool) -> dict[str, Any]:
    """Items of one key stand together, as one that is owned as a whole."""
    found: dict[str, Any] = {}
    for name, item in named:
        if name not in found:
            found[name] = item
        elif unique:
            raise BadItem(f"duplicate entries for key {_shown(name)}")
        elif isinstance(held := found[name], Doubled):
            held.append(item)  # made here: nobody else has it yet
        else:
            found[name] = Doubled([held, item])
    return found


# Path elements of keys that were said in full; containers, ports and conditions have the same few names everywhere.
_ELEMENTS_MAX, _KEY_LENGTH_MAX = 4_096, 128
_elements: dict[tuple[tuple[str, ...], tuple[Any, ...]], str] = {}


def element_of(item: Any, field: Field) -> str:
    """`k:{"containerPort":80,"protocol":"TCP"}`"""
    if not isinstance(item, dict):
        return _element_of(item, field)
    said = tuple([item.get(key) for key in field.keys])
    for value in said:
        # A true is equal to a 1, and what is left out may have a default.
        if type(value) is not int and (type(value) is not str or len(value) > _KEY_LENGTH_MAX):
            return _element_of(item, field)
    known = _elements.get((field.keys, said))
    if known is None:
        known = _element_of(item, field)
        if len(_elements) >= _ELEMENTS_MAX:
            _elements.clear()
        _elements[(field.keys, said)] = known
    return known


def _element_of(item: Any, field: Field) -> str:
    keys = field.keys
    if not isinstance(item, dict):
        raise BadItem("associative list with keys may not have non-map elements")
    values = {key: value for key in sorted(keys) if (value := _key_value(item, key, field)) is not None}
    if not values:
        listed = " ".join(f'"{key}"' for key in keys)
        why = f"omits all key fields [{listed}] (and doesn't have default values for any key fields)"
        raise BadItem(f"associative list with keys has an element that {why}")
    return f"k:{orjson.dumps(values).decode()}"


def _key_value(item: Object, key: str, field: Field) -> Any:
    """
    The value of a key field: as said, or its default; None where it is left out.

    A field that is always there has its zero value by default.
    """
    value = item.get(key)
    if value is not None:
        return value
    inner = field.message.fields.get(key) if field.message is not None else None
    if inner is None or inner.default or inner.presence != "r":
        return inner.default or None if inner is not None else None
    return _ZEROES.get(inner.kind)


def _shown(element: str) -> str:
    kind, _, rest = element.partition(":")
    if kind == "v":
        return f"[{rest}]"
    keys = orjson.loads(rest)
    return f"[{','.join(f'{name}={orjson.dumps(value).decode()}' for name, value in sorted(keys.items()))}]"


def zero_of(message: Message) -> Object:
    """A new object of a kind before anybody has written to it: the structs that Go always shows."""
    held = message.plans.get("ownership zero")
    if held is None:
        zero: Object = {}
        message.plans["ownership zero"] = zero
        for name, field in message.fields.items():
            if field.presence == "r" or (message.go_name, name) in _SHOWN_AS_NULL:
                zero[name] = _zero_value(field)
        return zero
    assert isinstance(held, dict)
    return held


# Pointers that Go prints though they are nil: the value that comes is not a new one.
_SHOWN_AS_NULL = frozenset((("TokenRequestSpec", "boundObjectRef"),))
_ZEROES = {Kind.STRING: "", Kind.INT32: 0, Kind.INT64: 0, Kind.BOOL: False}


def _zero_value(field: Field) -> Any:
    if field.shape is not Shape.ONE or field.presence == "p":
        return None
    return zero_of(field.message) if field.message is not None else _ZEROES.get(field.kind)
