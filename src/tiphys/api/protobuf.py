"""
Bodies in `application/vnd.kubernetes.protobuf`: four magic bytes, a runtime.Unknown, and in it one message.

Decodes straight to the JSON form of the object (times as RFC 3339, bytes as base64, quantities as text), driven by the
type table alone. Answers are JSON, so nothing is ever encoded. Encoders send zero values too: those that JSON would
leave out are dropped here. proto2 wire format; unknown field numbers are skipped, as every protobuf reader does.
"""

from __future__ import annotations

import base64
import datetime
import struct
from collections.abc import Iterator
from typing import Any

import orjson

from tiphys.api import schema
from tiphys.api.schema.types import Field, Kind, Message, Shape

Object = dict[str, Any]

MAGIC = b"k8s\x00"
# Objects are at most a dozen messages deep; schemas of schemas may be deeper.
DEPTH_MAX = 100
# Fields of one message. As many as YAML may have values; an object that is stored (1 MiB) has far fewer.
FIELDS_MAX = 200_000

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MASK = (1 << 64) - 1


class ProtobufError(ValueError):
    """The bytes are no message, or none of a kind that is known."""


def decode(body: bytes) -> Object:
    """The object of a body, with `kind` and `apiVersion`."""
    if not body.startswith(MAGIC):
        raise ProtobufError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    api_version = kind = ""
    raw = b""
    for number, _, value in _fields(memoryview(body)[len(MAGIC) :]):
        if number == 1 and isinstance(value, memoryview):
            api_version, kind = _type_meta(value)
        elif number == 2 and isinstance(value, memoryview):
            raw = bytes(value)
    group, _, version = api_version.rpartition("/")
    message = schema.message_of(group, version, kind)
    if message is None:
        raise ProtobufError(f'no kind "{kind}" is registered for version "{api_version}"')
    obj = _message(memoryview(raw), message, 0)
    return {"kind": kind, "apiVersion": api_version, **obj}


def _type_meta(view: memoryview) -> tuple[str, str]:
    found = {number: _text(value) for number, _, value in _fields(view) if isinstance(value, memoryview)}
    return found.get(1, ""), found.get(2, "")


# the wire


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    if at < len(view) and view[at] < 0x80:  # nearly all of them
        return view[at], at + 1
    result = shift = 0
    while True:
        if at >= len(view) or shift > 63:
            raise ProtobufError("unexpected EOF" if at >= len(view) else "proto: integer overflow")
        byte = view[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & _MASK, at
        shift += 7


def _fields(view: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """(number, wire type, value) of each field, in order; one at a time, since a body may be a million of two bytes."""
    at, end, left = 0, len(view), FIELDS_MAX
    while at < end:
        left -= 1
        if left < 0:
            raise ProtobufError(f"a message has more than {FIELDS_MAX} fields")
        key, at = _varint(view, at)
        number, wire = key >> 3, key & 7
        value: int | memoryview
        if wire == _VARINT:
            value, at = _varint(view, at)
        else:
            if wire == _BYTES:
                length, at = _varint(view, at)
            elif wire in (_FIXED64, _FIXED32):
                length = 8 if wire == _FIXED64 else 4
            else:
                raise ProtobufError(f"proto: illegal wireType {wire}")
            if at + length > end:
                raise ProtobufError("unexpected EOF")
            value, at = view[at : at + length], at + length
        if number == 0:
            raise ProtobufError("proto: illegal tag 0")
        yield number, wire, value


# messages


def _message(view: memoryview, message: Message, depth: int) -> Object:
    if depth > DEPTH_MAX:
        raise ProtobufError(f"the message is nested deeper than {DEPTH_MAX} levels")
    obj: Object = {}
    for number, wire, value in _fields(view):
        field = message.wire.get(number)
        if field is None or field.name == "-":
            continue
        if field.shape is Shape.MAP:
            key, item = _entry(value, field, depth)
            obj.setdefault(field.name, {})[key] = item
        elif field.shape is Shape.LIST:
            obj.setdefault(field.name, []).extend(_items(value, wire, field, depth))
        elif not field.name:
            assert field.message is not None
            obj.update(_message(_view(value), field.message, depth + 1))
        else:
            _keep(obj, field, _value(value, field, depth))
    return obj


def _keep(obj: Object, field: Field, value: Any) -> None:
    """Zero values of fields that JSON leaves out are no values; so is a struct of nothing but those."""
    if field.presence == "z" and (value is None or value == 0 or value == "" or value == {}):
        return
    obj[field.name] = value


def _entry(value: int | memoryview, field: Field, depth: int) -> tuple[str, Any]:
    """One entry of a map: a message of key 1 and value 2."""
    key: str = ""
    item: Any = None
    for number, _, part in _fields(_view(value)):
        if number == 1:
            key = _text(part)
        elif number == 2:
            item = _value(part, field, depth)
    return key, _zero(field) if item is None else item


def _zero(field: Field) -> Any:
    if field.kind is Kind.MESSAGE:
        return {}
    return "" if field.kind in (Kind.STRING, Kind.BYTES) else "0" if field.kind is Kind.QUANTITY else 0


def _items(value: int | memoryview, wire: int, field: Field, depth: int) -> list[Any]:
    """One element of a list; several where an encoder packed numbers."""
    numeric = field.kind in (Kind.INT32, Kind.INT64, Kind.BOOL)
    if numeric and wire == _BYTES and isinstance(value, memoryview):
        items, at = [], 0
        while at < len(value):
            number, at = _varint(value, at)
            items.append(_value(number, field, depth))
        return items
    return [_value(value, field, depth)]


def _value(value: int | memoryview, field: Field, depth: int) -> Any:
    kind = field.kind
    if kind is Kind.STRING:
        return _text(value)
    if kind in (Kind.INT32, Kind.INT64):
        return _signed(value)
    if kind is Kind.BOOL:
        return bool(_signed(value))
    if kind is Kind.MESSAGE:
        assert field.message is not None
        return _message(_view(value), field.message, depth + 1)
    if kind is Kind.BYTES:
        return base64.b64encode(_view(value)).decode()
    if kind is Kind.DOUBLE:
        return _double(_view(value))
    return _special(_view(value), kind, depth)


def _special(view: memoryview, kind: Kind, depth: int) -> Any:
    """Structs that have a JSON form of their own."""
    if kind is Kind.ANY:
        raw = next((bytes(_view(v)) for n, _, v in _fields(view) if n == 1), b"")
        try:
            return orjson.loads(raw) if raw else None
        except orjson.JSONDecodeError as error:
            raise ProtobufError(f"a raw value is no JSON: {error}") from None
    if kind is Kind.STRINGS:
        return [_text(value) for number, _, value in _fields(view) if number == 1]
    if kind in (Kind.SCHEMA_OR_ARRAY, Kind.SCHEMA_OR_BOOL, Kind.SCHEMA_OR_STRINGS):
        return _union(view, kind, depth)
    found = {number: value for number, _, value in _fields(view)}
    if kind is Kind.QUANTITY:
        return _text(found.get(1, memoryview(b""))) or "0"
    if kind is Kind.INT_OR_STRING:
        return _text(found.get(3, memoryview(b""))) if _signed(found.get(1, 0)) == 1 else _signed(found.get(2, 0))
    if kind is Kind.DURATION:
        return _duration(_signed(found.get(1, 0)))
    return _time(_signed(found.get(1, 0)), _signed(found.get(2, 0)), micro=kind is Kind.MICRO_TIME)


def _union(view: memoryview, kind: Kind, depth: int) -> Any:
    """A JSON schema, or the other thing that may stand in its place."""
    found = [*_fields(view)]
    if kind is Kind.SCHEMA_OR_BOOL:
        allows = next((bool(value) for number, _, value in found if number == 1), False)
        schemas = [value for number, _, value in found if number == 2]
        return _schema(schemas[0], depth) if schemas else allows
    schemas = [value for number, _, value in found if number == 1]
    if schemas:
        return _schema(schemas[0], depth)
    others = [value for number, _, value in found if number == 2]
    return [_text(v) if kind is Kind.SCHEMA_OR_STRINGS else _schema(v, depth) for v in others]


def _schema(value: int | memoryview, depth: int) -> Object:
    return _message(_view(value), schema.message("apiextensions.v1.JSONSchemaProps"), depth + 1)


# scalars


def _view(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ProtobufError("proto: wrong wireType = 0")
    return value


def _text(value: int | memoryview) -> str:
    try:
        return bytes(_view(value)).decode()
    except UnicodeDecodeError:
        raise ProtobufError("a string is no valid UTF-8") from None


def _signed(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise ProtobufError("proto: wrong wireType = 2")
    return value - (1 << 64) if value >> 63 else value


def _double(view: memoryview) -> float:
    try:
        (number,) = struct.unpack("<d", view)
    except struct.error:
        raise ProtobufError("unexpected EOF") from None
    return float(number)


def _time(seconds: int, nanos: int, *, micro: bool) -> str | None:
    """RFC 3339; None for the zero time, which Go counts from the year 1."""
    if not seconds and not nanos:
        return None
    try:
        moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        if seconds < 0:
            return None
        raise ProtobufError(f"{seconds} is no time") from None
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{nanos // 1000:06}Z" if micro else f"{text}Z"


def _duration(nanos: int) -> str:
    """Go's form: `1h2m3.5s`."""
    if not nanos:
        return "0s"
    sign, nanos = ("-", -nanos) if nanos < 0 else ("", nanos)
    for unit, size in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if nanos < size * 1000:
            return f"{sign}{nanos / size:g}{unit}"
    seconds, rest = divmod(nanos, 1_000_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{rest:09}".rstrip("0").rstrip(".")
    clock = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{clock}{seconds}{fraction}s"
