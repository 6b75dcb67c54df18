"""
The bytes of a request as JSON values: JSON, YAML and Kubernetes' protobuf, within limits.

JSON goes through orjson; only a body that it refuses, or in which a key may have been repeated, is read again slowly
(`json_reader`). Whether a key was repeated costs 3 µs to know: every key is followed by a colon, so if the value that
orjson kept prints with as many colons as the body has, none was dropped.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import orjson

from tiphys.api import json_reader, protobuf, yaml_reader
from tiphys.api.golike import json_name
from tiphys.api.strict import Repeated, repeated_keys

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
# What a request may have; Kubernetes has the same limit.
BODY_BYTES_MAX = 3 * 1024 * 1024
_SUMMARY_BYTES = 30
_TYPE_META = r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'


class CodecError(ValueError):
    """
    A body that cannot be read. The text is what Kubernetes says; `reason` is the part that the parser found, `summary`
    the start of the body as it is shown after the text in some answers.
    """

    def __init__(self, text: str, reason: str, summary: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.summary = summary


@dataclass(slots=True)
class Parsed:
    """
    The value of a body. `duplicates` complain about repeated keys, each worded as a client sees it.

    With `repeated` the object holds `strict.Repeated` parts, and `conform(…, repeated=True)` reports them in order
    with the unknown fields; YAML reports its repeated keys by line, in `duplicates` only. `media_type` is that of the
    body.
    """

    object: Any
    duplicates: list[str] = field(default_factory=list)
    repeated: bool = False
    media_type: str = JSON


def parse(body: bytes, media_type: str) -> Parsed:
    """
    A body that must be an object, with text `kind` and `apiVersion` if any. CodecError for one that is not.

    A protobuf body is decoded by the message of the kind that it names.
    """
    if media_type == PROTOBUF:
        return Parsed(_protobuf(body), media_type=PROTOBUF)
    parsed = parse_yaml(body) if media_type == YAML else parse_json(body)
    parsed.object = _checked_object(parsed.object, body)
    return parsed


def parse_json(body: bytes) -> Parsed:
    """Any JSON value. CodecError with Go's words in `reason`."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        value = _read_slowly(body, error)
    try:
        repeated = b"\\u003" in body or orjson.dumps(value).count(b":") != body.count(b":")
    except TypeError:  # deeper than orjson prints
        repeated = True
    if not repeated:
        return Parsed(value)
    value = _with_repeated(body, value)
    try:
        duplicates = repeated_keys(value)
    except RecursionError:
        raise _unreadable("exceeded max depth", body) from None
    return Parsed(value, duplicates, repeated=bool(duplicates))


def parse_yaml(body: bytes) -> Parsed:
    """Any YAML value (JSON is YAML too). CodecError with go-yaml's words in `reason`."""
    if body[:1] == b"{":
        try:
            return Parsed(orjson.loads(body), media_type=YAML)
        except orjson.JSONDecodeError:
            pass
    try:
        document = yaml_reader.read(body)
    except yaml_reader.YAMLError as error:
        raise CodecError(str(error), str(error), summary_of(body)) from None
    return Parsed(document.value, document.repeated, media_type=YAML)


def strict_yaml(duplicates: list[str]) -> str:
    """The repeated keys of a YAML body as one complaint of strict validation."""
    return "\n  ".join(["yaml: unmarshal errors:", *duplicates])


def summary_of(body: bytes) -> str:
    """The start of a body as Kubernetes quotes it: as text if it looks like JSON, else in hexadecimal digits."""
    if not body:
        return "<empty>"
    start = body[:_SUMMARY_BYTES]
    shown = start.decode("utf-8", "replace") if body[:1] == b"{" else start.hex()
    return f"{shown} ..." if len(body) > _SUMMARY_BYTES else shown


def _unreadable(reason: str, body: bytes) -> CodecError:
    return CodecError(f"couldn't get version/kind; json parse error: {reason}", reason, summary_of(body))


def _read_slowly(body: bytes, error: orjson.JSONDecodeError) -> Any:
    """What orjson refused: read it as Go would, or say in Go's words why not."""
    if len(body) > json_reader.SLOW_BYTES_MAX:
        ended = error.pos >= len(error.doc)
        reason = "unexpected end of JSON input" if ended else _at(error)
        raise _unreadable(reason, body)
    try:
        return json_reader.read(body)
    except json_reader.JSONError as complaint:
        raise _unreadable(str(complaint), body) from None


def _at(error: orjson.JSONDecodeError) -> str:
    letter = json_reader.quoted_character(error.doc[error.pos])
    return f"invalid character {letter} looking for beginning of value"


def _with_repeated(body: bytes, value: Any) -> Any:
    """The value once more, with every repeated key. A body that is too large for a slow look stays as it is."""
    if len(body) <= json_reader.SLOW_BYTES_MAX:
        try:
            return json_reader.read(body)
        except json_reader.JSONError:
            return value
    try:
        return json.loads(body, object_pairs_hook=_pairs)
    except (RecursionError, ValueError):
        return value


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    return made if len(made) == len(pairs) else Repeated(pairs)


def _checked_object(value: Any, body: bytes) -> dict[str, Any]:
    """Kind and version are read first, by any case of their names; the rest of the body does not matter yet."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _unreadable(f"json: cannot unmarshal {json_name(value)} into Go value of type {_TYPE_META}", body)
    for name in ("kind", "apiVersion"):
        said = value.get(name, "")
        for other in value:
            if len(other) == len(name) and other != name and other.lower() == name.lower():
                said = value[name] = value[other]
        if said is not None and not isinstance(said, str):
            what = json_name(said)
            raise _unreadable(f"json: cannot unmarshal {what} into Go struct field .{name} of type string", body)
    return value


def _protobuf(body: bytes) -> dict[str, Any]:
    try:
        return protobuf.decode(body)
    except protobuf.ProtobufError as error:
        raise CodecError(str(error), str(error), summary_of(body)) from None
