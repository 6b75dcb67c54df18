"""
JSON as Go's decoder reads it: the slow reader for bodies that orjson refuses or that need a second look.

orjson is the reader of nearly all bodies. It stops where Go does not (nesting beyond 1024, bytes that are no UTF-8,
lone surrogates), it forgets repeated keys, and its messages are its own. This reader has Go's limits (10,000 levels),
keeps repeated keys (`strict.Repeated`) and complains in the words that clients know. Its stack is its own, so
nesting costs no recursion; bodies beyond `SLOW_BYTES_MAX` are not read by it, so that a hostile body costs
milliseconds and not seconds.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tiphys.api.strict import Repeated

DEPTH_MAX = 10_000
SLOW_BYTES_MAX = 256 * 1024

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_LITERALS: dict[str, tuple[str, Any]] = {"t": ("true", True), "f": ("false", False), "n": ("null", None)}
_END = "unexpected end of JSON input"


class JSONError(ValueError):
    """The text is Go's: `invalid character 'b' looking for beginning of object key string`."""


def read(body: bytes) -> Any:
    """The value of a document; objects with repeated keys are `Repeated`. JSONError if it is none."""
    return _Reader(body.decode("utf-8", "replace")).document()


def quoted_character(letter: str) -> str:
    """A character as Go shows it in an error."""
    if letter == "'":
        return r"'\''"
    if letter == '"':
        return "'\"'"
    return f"'{json.dumps(letter)[1:-1] if ord(letter) < 128 else letter}'"


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def document(self) -> Any:
        value = self._value()
        self._space()
        if self.at < len(self.text):
            raise self._bad("after top-level value")
        return value

    def _space(self) -> None:
        found = _SPACE.match(self.text, self.at)
        assert found is not None
        self.at = found.end()

    def _next(self, where: str) -> str:
        """The next character that is no space; an error if the text ends."""
        self._space()
        if self.at >= len(self.text):
            raise JSONError(_END)
        return self.text[self.at]

    def _bad(self, where: str) -> JSONError:
        if self.at >= len(self.text):
            return JSONError(_END)
        return JSONError(f"invalid character {quoted_character(self.text[self.at])} {where}")

    def _value(self) -> Any:
        """Any value. Open containers are on a stack of (list or pairs, the key that waits for its value)."""
        stack: list[tuple[list[Any], bool, str]] = []
        while True:
            letter = self._next("looking for beginning of value")
            if letter in "[{":
                if len(stack) >= DEPTH_MAX:
                    raise self._bad("exceeded max depth")
                self.at += 1
                closing = "]" if letter == "[" else "}"
                if self._next("") != closing:
                    key = self._key() if letter == "{" else ""
                    stack.append(([], letter == "{", key))
                    continue
                self.at += 1
                value: Any = [] if letter == "[" else {}
            else:
                value = self._scalar(letter)
            while stack:
                items, is_object, key = stack.pop()
                items.append((key, value) if is_object else value)
                if self._goes_on(is_object):
                    stack.append((items, is_object, self._key() if is_object else ""))
                    break
                value = _object_of(items) if is_object else items
            else:
                return value

    def _goes_on(self, is_object: bool) -> bool:
        """After a member: a comma, or the end of the container."""
        letter = self._next("")
        if letter == ",":
            self.at += 1
            return True
        if letter == ("}" if is_object else "]"):
            self.at += 1
            return False
        raise self._bad("after object key:value pair" if is_object else "after array element")

    def _key(self) -> str:
        if self._next("") != '"':
            raise self._bad("looking for beginning of object key string")
        key = self._string()
        if self._next("") != ":":
            raise self._bad("after object key")
        self.at += 1
        return key

    def _scalar(self, letter: str) -> Any:
        if letter == '"':
            return self._string()
        if letter in "-0123456789":
            return self._number()
        if letter not in _LITERALS:
            raise self._bad("looking for beginning of value")
        word, value = _LITERALS[letter]
        for expected in word:
            if self.at >= len(self.text) or self.text[self.at] != expected:
                raise self._bad(f"in literal {word} (expecting {quoted_character(expected)})")
            self.at += 1
        return value

    def _number(self) -> int | float:
        found = _NUMBER.match(self.text, self.at)
        if found is None:
            self.at += 1
            raise self._bad("in numeric literal")
        self.at = found.end()
        follows = self.text[self.at : self.at + 1]
        if follows == "." and not found[1]:
            self.at += 1
            raise self._bad("after decimal point in numeric literal")
        if follows in ("e", "E") and not found[2]:
            self.at += 1
            if self.text[self.at : self.at + 1] in ("+", "-"):
                self.at += 1
            raise self._bad("in exponent of numeric literal")
        if found[1] or found[2]:
            return Number(found[0])
        return int(found[0]) if len(found[0]) < 64 else Number(found[0])

    def _string(self) -> str:
        self.at += 1
        parts: list[str] = []
        while True:
            found = _PLAIN.match(self.text, self.at)
            assert found is not None
            parts.append(found[0])
            self.at = found.end()
            if self.at >= len(self.text):
                raise JSONError(_END)
            letter = self.text[self.at]
            if letter == '"':
                self.at += 1
                return "".join(parts)
            if letter != "\\":
                raise self._bad("in string literal")
            self.at += 1
            parts.append(self._escape())

    def _escape(self) -> str:
        if self.at >= len(self.text):
            raise JSONError(_END)
        letter = self.text[self.at]
        if letter in _ESCAPES:
            self.at += 1
            return _ESCAPES[letter]
        if letter != "u":
            raise self._bad("in string escape code")
        self.at += 1
        first = self._hexadecimal()
        if 0xD800 <= first < 0xDC00 and self.text[self.at : self.at + 2] == "\\u":
            kept = self.at
            self.at += 2
            second = self._hexadecimal()
            if 0xDC00 <= second < 0xE000:
                return chr(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))
            self.at = kept
        return chr(first) if not 0xD800 <= first < 0xE000 else "\ufffd"

    def _hexadecimal(self) -> int:
        for _ in range(4):
            if self.at >= len(self.text) or self.text[self.at] not in "0123456789abcdefABCDEF":
                raise self._bad("in \\u hexadecimal character escape")
            self.at += 1
        return int(self.text[self.at - 4 : self.at], 16)


class Number(float):
    """A number as it was written: Go's errors show `1e3` and not 1000."""

    __slots__ = ("literal",)
    literal: str

    def __new__(cls, literal: str) -> Number:
        made = super().__new__(cls, literal)
        made.literal = literal
        return made

    def __str__(self) -> str:
        return str(self.literal)


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    return made if len(made) == len(pairs) else Repeated(pairs)
