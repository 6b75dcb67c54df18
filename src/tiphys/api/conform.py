"""
A JSON document as a Kubernetes object of a known type: what Go's decoder and encoder together would make of it.

Kubernetes reads every body into Go structs and prints those again, and clients see the traces: a string where a number
should be is refused with the struct and path of the field, a field that the struct has not is dropped, a zero value is
left out if the field is `omitempty` and shown if it is not (`"resources": {}`), quantities and times are printed in
their canonical form. So `conform` is the round trip, made from the type table.

For speed each message is compiled once, when it is first needed, into a closure over a dict of steps. Two rejected
ways: walking the schema at each call (5 times slower), and generating source text (1.4 times faster, unreadable).
The closure builds paths only when something is wrong: a `_Mismatch` collects the names while it unwinds, and unknown
fields only raise a flag, after which `strict.findings` looks again with paths.
"""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tiphys.api import quantity
from tiphys.api.schema.table import message as message_named
from tiphys.api.schema.types import Field, Kind, Message, Shape
from tiphys.api.strict import findings, folded
from tiphys.api.times import canonical_micro_time, canonical_time

Object = dict[str, Any]
Seen = list[bool]  # not empty once an unknown field was met
Step = Callable[[Any, Seen], Any]  # a decoded value, or None to leave the field out
Zero = Callable[[], Any]

_SCHEMA_PROPS = "apiextensions.v1.JSONSchemaProps"
_GO_TYPES = {
    Kind.STRING: "string",
    Kind.INT32: "int32",
    Kind.INT64: "int64",
    Kind.BOOL: "bool",
    Kind.DOUBLE: "float64",
    Kind.BYTES: "[]uint8",
    Kind.TIME: "v1.Time",
    Kind.MICRO_TIME: "v1.MicroTime",
    Kind.DURATION: "v1.Duration",
    Kind.QUANTITY: "resource.Quantity",
    Kind.INT_OR_STRING: "intstr.IntOrString",
    Kind.STRINGS: "[]string",
}
_LIMITS = {Kind.INT32: 1 << 31, Kind.INT64: 1 << 63}

# Lists that get a default when they are not said, but are refused when they are empty (an autoscaler's policies).
_REFUSED_EMPTY = frozenset(("policies",))


class ConformError(ValueError):
    """The document does not fit its type; the text is Go's (`json: cannot unmarshal string into Go struct field …`)."""


@dataclass(slots=True)
class Conformed:
    """
    `object` is the typed document; it shares parts with the raw one, which must not be used any more.

    `strict` is what strict field validation complains about (unknown and repeated fields, in the document's order);
    `unknown` is the part of it that is unknown fields.
    """

    object: Object
    strict: list[str] = field(default_factory=list)

    @property
    def unknown(self) -> list[str]:
        return [each for each in self.strict if each.startswith("unknown field ")]


def conform(raw: Any, message: Message, *, repeated: bool = False) -> Conformed:
    """
    The round trip of `raw` through the struct that `message` describes. ConformError if it does not fit.

    `repeated` says that the parser met repeated keys, which are then reported in `strict` too.
    """
    seen: Seen = []
    try:
        made = compiled(message)(folded(raw) if repeated else raw, seen)
        strict = findings(raw, message) if seen or repeated else []
    except _Mismatch as mismatch:
        raise ConformError(mismatch.text(message)) from None
    except RecursionError:
        raise ConformError("exceeded max depth") from None
    return Conformed(made, strict)


def compiled(message: Message) -> Step:
    """The decoder of a message; made once."""
    plan = message.plans.get("conform")
    if plan is None:
        plan = message.plans["conform"] = _compile(message)
    return plan  # type: ignore[return-value]


class _Mismatch(Exception):
    """A value of the wrong type; on its way up it collects the names of the fields that lead to it."""

    def __init__(self, value: Any, go_type: str, *, literal: bool = False, message: str = "") -> None:
        super().__init__()
        self.what = _described(value, literal=literal)
        self.go_type = go_type
        self.message = message
        self.path: list[str] = []
        self.struct = ""

    def at(self, name: str, struct: str) -> None:
        self.path.append(name)
        self.struct = self.struct or struct

    def text(self, message: Message) -> str:
        if self.message:
            return self.message
        where = f"struct field {self.struct}.{'.'.join(reversed(self.path))}" if self.path else "value"
        return f"json: cannot unmarshal {self.what} into Go {where} of type {self.go_type or message.go_type}"


def _described(value: Any, *, literal: bool) -> str:
    """How Go names a JSON value; a number that does not fit a number is shown."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return f"number {value}" if literal else "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _compile(message: Message) -> Step:
    steps: dict[str, tuple[type | None, bool, Step]] = {}
    always: list[tuple[str, Zero]] = []
    for name, one in message.fields.items():
        plain = {Kind.STRING: str, Kind.BOOL: bool}.get(one.kind) if one.shape is Shape.ONE else None
        steps[name] = (plain, one.presence != "z", _field_step(one))
        if one.presence == "r":
            always.append((name, _zero_of(one)))
    go_name, go_type, is_open = message.go_name, message.go_type, message.open
    steps_of = steps.get

    def decode(raw: Any, seen: Seen) -> Object:
        if not isinstance(raw, dict):
            if raw is not None:
                raise _Mismatch(raw, go_type)
            raw = {}
        made: Object = {}
        name = ""
        try:
            for name, value in raw.items():
                found = steps_of(name)
                if found is None:
                    if is_open:
                        made[name] = value
                    else:
                        seen.append(True)
                elif value is not None:
                    plain, keep, step = found
                    if type(value) is not plain:
                        value = step(value, seen)
                        if value is not None:
                            made[name] = value
                    elif value or keep:
                        made[name] = value
        except _Mismatch as mismatch:
            mismatch.at(name, go_name)
            raise
        for name, zero in always:
            if name not in made:
                made[name] = zero()
        return made

    return decode


def _field_step(one: Field) -> Step:
    """What becomes of a value of that field: None leaves it out."""
    if one.shape is Shape.LIST:
        return _list_step(one)
    if one.shape is Shape.MAP:
        return _map_step(one)
    value_step = _value_step(one, one.go_type)
    if one.presence != "z" or one.kind in (Kind.MESSAGE, Kind.ANY):
        return value_step

    def without_zero(value: Any, seen: Seen) -> Any:
        return value_step(value, seen) or None

    return without_zero


def _list_step(one: Field) -> Step:
    message = one.message
    go_type = one.go_type or "[]" + (message.go_type if message else _GO_TYPES.get(one.kind, "interface {}"))
    item_step = _value_step(one, go_type.removeprefix("[]"))
    empty: Any = None if one.presence == "z" and one.name not in _REFUSED_EMPTY else []
    if one.name == "managedFields":
        # An empty list asks to forget all owners, and so does a list with an empty entry: only the latter survives Go.
        empty = [{}]
    strings = one.kind is Kind.STRING
    zero = _zero_of_value(one)

    def decode(value: Any, seen: Seen) -> Any:
        if not isinstance(value, list):
            raise _Mismatch(value, go_type)
        if not value:
            return empty
        if strings:
            for item in value:
                if type(item) is not str:
                    break
            else:
                return value
        return [item_step(item, seen) if item is not None else zero() for item in value]

    return decode


def _map_step(one: Field) -> Step:
    message = one.message
    of = "v1.ResourceList" if one.kind is Kind.QUANTITY else ""
    of = of or "map[string]" + (message.go_type if message else _GO_TYPES.get(one.kind, "interface {}"))
    go_type = one.go_type or of
    item_step = _value_step(one, "")
    empty: Any = None if one.presence == "z" else {}
    strings = one.kind is Kind.STRING
    zero = _zero_of_value(one)

    def decode(value: Any, seen: Seen) -> Any:
        if not isinstance(value, dict):
            raise _Mismatch(value, go_type)
        if not value:
            return empty
        if strings:
            for item in value.values():
                if type(item) is not str:
                    break
            else:
                return value
        return {key: item_step(item, seen) if item is not None else zero() for key, item in value.items()}

    return decode


def _value_step(one: Field, go_type: str) -> Step:
    """The decoder of one value of that field's type. Zero values stay; the caller decides on them."""
    message = one.message
    if message is not None:
        return _lazy(message)
    name = go_type or _GO_TYPES.get(one.kind, "")
    match one.kind:
        case Kind.STRING | Kind.BOOL:
            return _plain_step(str if one.kind is Kind.STRING else bool, name)
        case Kind.INT32 | Kind.INT64:
            return _integer_step(name, _LIMITS[one.kind])
        case Kind.TIME:
            return _text_step(canonical_time)
        case Kind.MICRO_TIME:
            return _text_step(canonical_micro_time)
        case Kind.DURATION:
            return _text_step(str)
        case Kind.STRINGS:
            return _list_step(Field(one.name, 0, Kind.STRING, Shape.LIST, "r"))
        case _:
            return _SPECIAL_STEPS[one.kind]


def _lazy(message: Message) -> Step:
    """Messages refer to themselves (JSONSchemaProps), so a reference is compiled when it is first used."""
    step: Step | None = None

    def decode(value: Any, seen: Seen) -> Any:
        nonlocal step
        if step is None:
            step = compiled(message)
        return step(value, seen)

    return decode


def _plain_step(wanted: type, go_type: str) -> Step:
    def decode(value: Any, seen: Seen) -> Any:
        if type(value) is not wanted:
            raise _Mismatch(value, go_type)
        return value

    return decode


def _integer_step(go_type: str, limit: int) -> Step:
    def decode(value: Any, seen: Seen) -> Any:
        if type(value) is not int or not -limit <= value < limit:
            raise _Mismatch(value, go_type, literal=True)
        return value

    return decode


def _text_step(read: Callable[[str], str]) -> Step:
    def decode(value: Any, seen: Seen) -> Any:
        if type(value) is not str:
            raise _Mismatch(value, "string")
        try:
            return read(value)
        except ValueError as error:
            raise _Mismatch(value, "", message=str(error)) from None

    return decode


def _double(value: Any, seen: Seen) -> Any:
    if type(value) is not float and type(value) is not int:
        raise _Mismatch(value, "float64")
    return value


def _bytes(value: Any, seen: Seen) -> Any:
    if type(value) is not str:
        raise _Mismatch(value, "[]uint8")
    if not value:
        return value
    bare = value.replace("\n", "").replace("\r", "")
    try:
        return base64.b64encode(binascii.a2b_base64(bare, strict_mode=True)).decode()
    except (binascii.Error, ValueError):
        text = f"illegal base64 data at input byte {_base64_stop(value)}"
        raise _Mismatch(value, "", message=text) from None


_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


def _base64_stop(value: str) -> int:
    """The offset that Go's decoder names: the first wrong character, or the start of an incomplete quantum's end."""
    count = 0
    for index, letter in enumerate(value):
        if letter in "\r\n":
            continue
        if letter == "=":
            rest = value[index:].replace("\n", "").replace("\r", "")
            wanted = {2: 2, 3: 1}.get(count % 4, 0)
            if wanted and rest.startswith("=" * wanted):
                return index + wanted
            return len(value) if wanted == 2 and rest == "=" else index
        if letter not in _ALPHABET:
            return index
        count += 1
    return len(value) - count % 4


@functools.lru_cache(maxsize=4096)
def _quantity_of(text: str) -> str:
    return quantity.canonical(text)


def _quantity(value: Any, seen: Seen) -> Any:
    text = value if type(value) is str else str(value).lower()
    try:
        return _quantity_of(text)
    except ValueError as error:
        raise _Mismatch(value, "", message=str(error)) from None


def _int_or_string(value: Any, seen: Seen) -> Any:
    if type(value) is str:
        return value
    if type(value) is not int or not -(1 << 31) <= value < 1 << 31:
        raise _Mismatch(value, "int32", literal=True)
    return value


def _any(value: Any, seen: Seen) -> Any:
    return value


def _schema_or(other: type, value: Any, seen: Seen) -> Any:
    """JSONSchemaProps, or what may stand in its place."""
    if isinstance(value, other):
        if isinstance(value, list):
            items = message_named(_SCHEMA_PROPS)
            return [item if isinstance(item, str) else compiled(items)(item, seen) for item in value]
        return value
    return compiled(message_named(_SCHEMA_PROPS))(value, seen)


_SPECIAL_STEPS: dict[Kind, Step] = {
    Kind.DOUBLE: _double,
    Kind.BYTES: _bytes,
    Kind.QUANTITY: _quantity,
    Kind.INT_OR_STRING: _int_or_string,
    Kind.ANY: _any,
    Kind.SCHEMA_OR_ARRAY: functools.partial(_schema_or, list),
    Kind.SCHEMA_OR_BOOL: functools.partial(_schema_or, bool),
    Kind.SCHEMA_OR_STRINGS: functools.partial(_schema_or, list),
}
_ZEROES: dict[Kind, Any] = {
    Kind.STRING: "",
    Kind.INT32: 0,
    Kind.INT64: 0,
    Kind.BOOL: False,
    Kind.DOUBLE: 0,
    Kind.QUANTITY: "0",
    Kind.INT_OR_STRING: 0,
    Kind.DURATION: "0s",
}


def _zero_of(one: Field) -> Zero:
    """What Go prints for a field that was not set: null for a list, a map or a time."""
    return (lambda: None) if one.shape is not Shape.ONE else _zero_of_value(one)


def _zero_of_value(one: Field) -> Zero:
    message = one.message
    if message is not None:
        decode = _lazy(message)
        return lambda: decode({}, [])
    value = _ZEROES.get(one.kind)
    return lambda: value
