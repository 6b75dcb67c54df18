"""
A value as Kubernetes' internal structs print it in a few field errors: Go's own field names, no field left out.

`{"key":"a"}` of a Taint is shown as `{"Key":"a","Value":"","Effect":"","TimeAdded":null}`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from tiphys.api import schema
from tiphys.api.schema.types import Field, Kind, Shape

_ZEROES = {
    Kind.STRING: "", Kind.INT32: 0, Kind.INT64: 0, Kind.BOOL: False, Kind.DOUBLE: 0, Kind.QUANTITY: "0",
    Kind.INT_OR_STRING: 0,
}  # fmt: skip
# The abbreviations that Go writes in capitals, where they begin a name.
_ABBREVIATIONS = ("api", "cidr", "csi", "fs", "id", "ip", "tls", "uid", "url")


def internal(value: Mapping[str, Any] | None, message: str, *order: str) -> dict[str, Any] | None:
    """`order` is that of the struct where the schema's is another; all fields then."""
    if value is None:
        return None
    fields = schema.message(message).fields
    names = order or tuple(fields)
    return {_go_name(name): _shown(value.get(name), fields[name]) for name in names}


@functools.cache
def _go_name(name: str) -> str:
    for each in _ABBREVIATIONS:
        rest = name.removeprefix(each)
        if rest != name and (not rest or rest == "s" or rest[0].isupper()):
            return each.upper() + rest
    return name[:1].upper() + name[1:]


def _shown(value: Any, one: Field) -> Any:
    message = one.message
    if one.shape is Shape.LIST:
        if message is None or not value:
            return value or None
        return [internal(each, message.name) for each in value]
    if one.shape is Shape.MAP:
        if message is None or not value:
            return value or None
        return {key: internal(each, message.name) for key, each in value.items()}
    if message is not None:
        return internal(value if value is not None or one.presence == "p" else {}, message.name)
    if value is None and one.presence != "p":
        return _ZEROES.get(one.kind)
    return value
