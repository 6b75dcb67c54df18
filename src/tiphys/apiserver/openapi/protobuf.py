"""
An OpenAPI v2 document as protobuf: what kubectl before 1.27 asks for, and takes nothing else.

The message is `openapi.v2.Document` of the gnostic project; values without a type of their own travel as YAML text,
which JSON is. Only what kubectl reads is written: definitions whole, and of paths the parameters and the kinds.
"""

from __future__ import annotations

from typing import Any

import orjson

Object = dict[str, Any]

_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}


def encode(document: Object) -> bytes:
    """The whole document."""
    info = _text(1, document["info"]["title"]) + _text(2, document["info"]["version"])
    paths = b"".join([_block(2, _named(path, _path(item))) for path, item in document["paths"].items()])
    definitions = [_block(1, _named(name, _schema(given))) for name, given in document["definitions"].items()]
    return _text(1, document["swagger"]) + _block(2, info) + _block(8, paths) + _block(9, b"".join(definitions))


def _path(item: Object) -> bytes:
    methods = [_block(number, _operation(item[name])) for name, number in _METHODS.items() if name in item]
    return b"".join(methods) + b"".join([_block(9, _parameter(one)) for one in item["parameters"]])


def _operation(operation: Object) -> bytes:
    parameters = [_block(8, _parameter(one)) for one in operation["parameters"]]
    responses = [_block(1, _named(code, _response(told))) for code, told in operation["responses"].items()]
    return b"".join(
        [
            _text(5, operation["operationId"]),
            *(_text(6, kind) for kind in operation["produces"]),
            *(_text(7, kind) for kind in operation["consumes"]),
            *parameters,
            _block(9, b"".join(responses)),
            *_extensions(operation, 13),
        ]
    )


def _response(told: Object) -> bytes:
    """ResponseValue."""
    schema = _block(2, _block(1, _schema(told["schema"]))) if "schema" in told else b""
    return _block(1, _text(1, told["description"]) + schema)


def _parameter(one: Object) -> bytes:
    """ParametersItem: the parameter in the message of the place where it is given."""
    if one["in"] == "body":
        body = _text(2, one["name"]) + _text(3, "body") + _flag(4, bool(one.get("required")))
        return _block(1, _block(1, body + _block(5, _schema(one["schema"]))))
    place = {"query": 3, "path": 4}[one["in"]]
    type_number = 6 if place == 3 else 5
    told = _flag(1, bool(one.get("required"))) + _text(2, one["in"]) + _text(3, one["description"])
    told += _text(4, one["name"]) + _text(type_number, one["type"])
    return _block(1, _block(2, _block(place, told)))


def _schema(given: Object) -> bytes:
    parts = [_text(1, given["$ref"])] if "$ref" in given else []
    parts += [_text(number, given[name]) for name, number in (("format", 2), ("description", 4)) if name in given]
    parts += [_text(19, name) for name in given.get("required", ())]
    if isinstance(given.get("additionalProperties"), dict):
        parts.append(_block(21, _block(1, _schema(given["additionalProperties"]))))
    if "type" in given:
        parts.append(_block(22, _text(1, given["type"])))
    if "items" in given:
        parts.append(_block(23, _block(1, _schema(given["items"]))))
    if "properties" in given:
        inner = [_block(1, _named(name, _schema(value))) for name, value in given["properties"].items()]
        parts.append(_block(25, b"".join(inner)))
    return b"".join([*parts, *_extensions(given, 31)])


def _extensions(given: Object, number: int) -> list[bytes]:
    """`x-…`: the value as YAML."""
    named = ((name, value) for name, value in given.items() if name.startswith("x-"))
    return [_block(number, _named(name, _text(2, orjson.dumps(value).decode()))) for name, value in named]


# the wire format


def _named(name: str, value: bytes) -> bytes:
    return _text(1, name) + _block(2, value)


def _text(number: int, value: str) -> bytes:
    return _block(number, value.encode())


def _flag(number: int, value: bool) -> bytes:
    return bytes((number << 3, 1)) if value else b""


def _block(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
