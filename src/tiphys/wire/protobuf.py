"""
Protocol buffers by a table: what the messages of a service look like is a text, and dicts go in and come out.

    Volume
      1 id string
      2 labels map           (of texts by texts)
      3 parts *Part          (repeated, of another message)
      4 size int64

Zero values are not sent and always read: a decoded message has each of its fields. Unknown fields are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

DEPTH_MAX = 16
_MASK = (1 << 64) - 1
_ZEROS: Mapping[str, Any] = {"string": "", "bytes": b"", "bool": False, "int32": 0, "int64": 0}


class ProtobufError(ValueError):
    """The bytes are not the message that they should be."""


@dataclass(frozen=True, slots=True)
class Field:
    """`type` is a scalar's name, "map", or the name of a message of the same table."""

    number: int
    name: str
    type: str
    is_repeated: bool

    @property
    def zero(self) -> Any:
        if self.is_repeated:
            return []
        return {} if self.type == "map" else _ZEROS.get(self.type)


_PAIR = (Field(1, "key", "string", False), Field(2, "value", "string", False))


class Table:
    """The messages of one text."""

    def __init__(self, text: str) -> None:
        self._messages: dict[str, dict[int, Field]] = {}
        fields: dict[int, Field] = {}
        for line in text.splitlines():
            words = line.split()
            if len(words) == 1:
                fields = self._messages[words[0]] = {}
            elif words:
                number, name, kind = words
                fields[int(number)] = Field(int(number), name, kind.lstrip("*"), kind.startswith("*"))

    def encode(self, message: str, values: Mapping[str, Any]) -> bytes:
        """KeyError for a field that the message does not have: a mistake of ours."""
        fields = {field.name: field for field in self._messages[message].values()}
        return b"".join(self._field(fields[name], value) for name, value in values.items())

    def decode(self, message: str, data: bytes, depth: int = 0) -> dict[str, Any]:
        """ProtobufError."""
        if depth > DEPTH_MAX:
            raise ProtobufError("messages within messages without end")
        known = self._messages[message]
        found = {field.name: field.zero for field in known.values()}
        for number, value in _fields(data):
            field = known.get(number)
            if field is not None:
                self._take(found, field, value, depth)
        return found

    def _field(self, field: Field, value: Any) -> bytes:
        if field.is_repeated:
            return b"".join(self._one(field, one) for one in value)
        if field.type == "map":
            return b"".join(
                _tagged(field.number, b"".join(self._one(part, text) for part, text in zip(_PAIR, pair, strict=True)))
                for pair in value.items()
            )
        # A message that is there and empty says something; a zero does not.
        is_sent = value is not None if field.type in self._messages else bool(value)
        return self._one(field, value) if is_sent else b""

    def _one(self, field: Field, value: Any) -> bytes:
        if field.type in ("bool", "int32", "int64"):
            return _varint(field.number << 3) + _varint(int(value) & _MASK)
        if field.type == "string":
            return _tagged(field.number, value.encode())
        return _tagged(field.number, value if field.type == "bytes" else self.encode(field.type, value))

    def _take(self, found: dict[str, Any], field: Field, value: int | bytes, depth: int) -> None:
        if field.type == "map":
            pair: dict[str, Any] = {"key": "", "value": ""}
            for number, text in _fields(_bytes(value)):
                if number in (1, 2):
                    pair[_PAIR[number - 1].name] = _text(text)
            found[field.name][pair["key"]] = pair["value"]
        elif field.is_repeated and field.type in ("int32", "int64", "bool") and isinstance(value, bytes):
            found[field.name] += [_number(field, one) for one in _packed(value)]
        else:
            one = self._value(field, value, depth)
            if field.is_repeated:
                found[field.name].append(one)
            else:
                found[field.name] = one

    def _value(self, field: Field, value: int | bytes, depth: int) -> Any:
        if field.type in ("bool", "int32", "int64"):
            return _number(field, value)
        if field.type == "string":
            return _text(value)
        return _bytes(value) if field.type == "bytes" else self.decode(field.type, _bytes(value), depth + 1)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = _read_varint(data, at)
            yield key >> 3, value
            continue
        if wire == 2:
            length, at = _read_varint(data, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ProtobufError(f"wire type {wire} is not known")
        if at + length > len(data):
            raise ProtobufError("a field is cut off")
        yield key >> 3, data[at : at + length]
        at += length


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number & _MASK, at
    raise ProtobufError("a number is cut off")


def _packed(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        number, at = _read_varint(data, at)
        yield number


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _tagged(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _number(field: Field, value: int | bytes) -> int | bool:
    if not isinstance(value, int):
        raise ProtobufError(f"{field.name} should be a number")
    if field.type == "bool":
        return bool(value)
    return value - (1 << 64) if value >> 63 else value


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ProtobufError("a number where bytes should be")
    return value


def _text(value: int | bytes) -> str:
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError:
        raise ProtobufError("a text that is no UTF-8") from None
