"""
YAML as Kubernetes reads it: one document, YAML 1.1 scalars, turned into the JSON value it stands for.

Built from the parser's events with an own stack and not with a PyYAML constructor: nesting then costs no recursion
(PyYAML's composer recurses in C), anchors are copied within a budget (a "billion laughs" ends at once), repeated keys
are known with their line, and scalars resolve by go-yaml's rules, which differ from PyYAML's (`y` is true, `0o7` is a
string, a date stays a string). Keys are sorted, as Go's conversion to JSON does it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml import events

# More values than any manifest has; a document that expands to more is refused at once.
NODES_MAX = 200_000
DEPTH_MAX = 10_000
COPY_DEPTH_MAX = 400

_INTEGER = re.compile(r"[-+]?(?:0b[01]+|0x[0-9a-fA-F]+|0o?[0-7]+|[1-9][0-9]*|0)")
_FLOAT = re.compile(r"[-+]?[0-9]*\.?[0-9]+(?:[eE][-+][0-9]+)?")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_TEXT_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:binary", "!")
_MERGE = object()


class YAMLError(ValueError):
    """The text is go-yaml's, with `yaml: ` before it."""


@dataclass(slots=True)
class Document:
    """`repeated` are the complaints about repeated keys: `line 7: key "a" already set in map`."""

    value: Any
    repeated: list[str] = field(default_factory=list)


def read(body: bytes) -> Document:
    """The first document of a stream. YAMLError if it is none."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise YAMLError("yaml: invalid leading UTF-8 octet") from None
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if builder.take(event):
                break
    except yaml.reader.ReaderError:
        raise YAMLError("yaml: control characters are not allowed") from None
    except yaml.MarkedYAMLError as error:
        raise YAMLError(f"yaml: {_worded(error)}") from None
    return Document(builder.root, builder.repeated)


def _worded(error: yaml.MarkedYAMLError) -> str:
    """The line as go-yaml counts it: one more for what the scanner finds, none for the first."""
    line = 0
    if error.problem_mark is not None and error.problem_mark.line:
        line = error.problem_mark.line + (1 if isinstance(error, yaml.scanner.ScannerError) else 0)
    elif error.context_mark is not None:
        line = error.context_mark.line
    return (f"line {line}: " if line else "") + (error.problem or "unknown problem parsing YAML content")


@dataclass(slots=True)
class _Open:
    """A list or map whose end has not come yet. `key` is the key that waits for its value."""

    value: Any
    anchor: str | None
    start: int
    key: Any = None
    has_key: bool = False
    merged: list[Any] = field(default_factory=list)


class _Builder:
    def __init__(self) -> None:
        self.root: Any = None
        self.repeated: list[str] = []
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._nodes = 0

    def take(self, event: Any) -> bool:
        """One event; True at the end of the first document."""
        kind = type(event)
        if kind is events.ScalarEvent:
            self._count(1)
            value = _scalar(event)
            if event.anchor is not None:
                self._anchors[event.anchor] = (value, 1)
            self._place(value, event)
        elif kind is events.MappingStartEvent or kind is events.SequenceStartEvent:
            self._count(1)
            if len(self._stack) >= DEPTH_MAX:
                raise YAMLError(f"yaml: exceeded max depth of {DEPTH_MAX}")
            self._stack.append(_Open({} if kind is events.MappingStartEvent else [], event.anchor, self._nodes))
        elif kind is events.MappingEndEvent or kind is events.SequenceEndEvent:
            self._close(event)
        elif kind is events.AliasEvent:
            self._place(self._copied(event.anchor), event)
        return kind is events.DocumentEndEvent

    def _count(self, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > NODES_MAX:
            raise YAMLError("yaml: document contains excessive aliasing or too many values")

    def _close(self, event: Any) -> None:
        done = self._stack.pop()
        value = done.value
        if isinstance(value, dict):
            for other in done.merged:
                for key, inherited in other.items():
                    value.setdefault(key, inherited)
            value = {key: value[key] for key in sorted(value)}
        if done.anchor is not None:
            self._anchors[done.anchor] = (value, self._nodes - done.start + 1)
        self._place(value, event)

    def _copied(self, anchor: str) -> Any:
        if any(each.anchor == anchor for each in self._stack):
            raise YAMLError(f"yaml: anchor '{anchor}' value contains itself")
        if anchor not in self._anchors:
            raise YAMLError(f"yaml: unknown anchor '{anchor}' referenced")
        value, nodes = self._anchors[anchor]
        self._count(nodes)
        return _copy(value, 0)

    def _place(self, value: Any, event: Any) -> None:
        """Put a finished value where it belongs: in the open list or map, or at the root."""
        if not self._stack:
            self.root = None if value is _MERGE else value
            return
        top = self._stack[-1]
        if isinstance(top.value, list):
            top.value.append("<<" if value is _MERGE else value)
        elif not top.has_key:
            top.key, top.has_key = value, True
        else:
            self._set(top, value, event)

    def _set(self, top: _Open, value: Any, event: Any) -> None:
        top.has_key = False
        if top.key is _MERGE:
            others = value if isinstance(value, list) else [value]
            if not all(isinstance(other, dict) for other in others):
                raise YAMLError("yaml: map merge requires map or sequence of maps as the value")
            top.merged += others
            return
        key = _key(top.key)
        if key in top.value:
            self.repeated.append(f'line {event.start_mark.line + 1}: key "{key}" already set in map')
        top.value[key] = "<<" if value is _MERGE else value


def _copy(value: Any, depth: int) -> Any:
    if depth > COPY_DEPTH_MAX:
        raise YAMLError("yaml: exceeded max depth in an alias")
    if isinstance(value, dict):
        return {key: _copy(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item, depth + 1) for item in value]
    return value


def _key(key: Any) -> str:
    """A key as JSON has it: a text. Kubernetes refuses keys that are lists or maps."""
    if isinstance(key, str):
        return key
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int | float):
        return str(key)
    shown = "null" if key is None else "map" if isinstance(key, dict) else "slice"
    raise YAMLError(f"unsupported map key of type: {shown}")


def _scalar(event: Any) -> Any:
    text: str = event.value
    tag = event.tag
    if not event.implicit[0] and (tag is None or tag in _TEXT_TAGS):
        return text
    if tag is not None and tag in _TEXT_TAGS:
        return text
    if not event.implicit[0] and event.style is not None and not (tag or "").startswith("tag:yaml.org,2002:"):
        return text
    if text in _WORDS:
        return _WORDS[text]
    if text == "<<":
        return _MERGE
    return _number(text) if text[0] in "+-.0123456789" else text


def _number(text: str) -> Any:
    """A number by go-yaml's rules, or the text itself."""
    plain = text.replace("_", "")
    if _INTEGER.fullmatch(plain):
        sign = -1 if plain[0] == "-" else 1
        digits = plain.lstrip("+-")
        if len(digits) > 1 and digits[0] == "0" and digits[1] in "01234567":
            return sign * int(digits, 8)
        value = sign * int(digits, 0) if len(digits) < 64 else 1 << 64
        return value if -(1 << 63) <= value < 1 << 64 else float(plain)
    if _FLOAT.fullmatch(plain):
        return float(plain)
    return text
