"""
Label, field and node selectors: read once, matched often. Grammar and error texts are those of Kubernetes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from tiphys.api.remembered import remember_short
from tiphys.api.validation import names

Labels = Mapping[str, str]

IN, NOT_IN, EXISTS, NOT_EXISTS, GREATER, LESS = "in", "notin", "exists", "!", "gt", "lt"
_OPERATORS = {"in": IN, "notin": NOT_IN, "=": "=", "==": "==", "!=": "!=", ">": GREATER, "<": LESS}
_OPERATOR_LIST = "in, notin, =, ==, !=, gt, lt"
_NUMBER = re.compile(r"[+-]?[0-9]{1,19}")


class SelectorError(ValueError):
    """The text or object is no selector; the message is Kubernetes'."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """`operator` is one of the constants above; `values` is empty for EXISTS and NOT_EXISTS."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Labels) -> bool:
        held = labels.get(self.key)
        if self.operator == IN:
            return held is not None and held in self.values
        if self.operator == NOT_IN:
            return held is None or held not in self.values
        if self.operator == EXISTS:
            return held is not None
        if self.operator == NOT_EXISTS:
            return held is None
        (bound,) = self.values
        if held is None or not _NUMBER.fullmatch(held):
            return False
        return int(held) > int(bound) if self.operator == GREATER else int(held) < int(bound)


@dataclass(frozen=True, slots=True)
class Selector:
    """All requirements must hold; without any it matches everything, unless it is `nothing`."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Labels | None) -> bool:
        if self.nothing:
            return False
        found = labels or {}
        return all(requirement.matches(found) for requirement in self.requirements)

    @property
    def is_empty(self) -> bool:
        return not self.requirements and not self.nothing


# label selectors as text


@remember_short(2048)
def parse_labels(text: str) -> Selector:
    """`app=web,tier in (a,b),!old`. SelectorError with Kubernetes' text."""
    return Selector(tuple(_Parser(text).requirements()))


_TOKEN = re.compile(r"\s*(?:(!=|==|[=!<>(),])|([^\s=!<>(),]+))")


class _Parser:
    """Kubernetes' grammar: a token at a time, with one to look ahead."""

    def __init__(self, text: str) -> None:
        self._tokens = [found.group(1) or found.group(2) for found in _TOKEN.finditer(text)]
        self._at = 0

    def _look(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._look()
        self._at += 1
        return token

    def requirements(self) -> list[Requirement]:
        found: list[Requirement] = []
        while True:
            token = self._look()
            if not token:
                return found
            if not _is_word(token) and token != "!":
                raise SelectorError(f"found '{token}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self._requirement())
            except SelectorError as error:
                raise SelectorError(f"unable to parse requirement: {error}") from None
            token = self._take()
            if not token:
                return found
            if token != ",":
                raise SelectorError(f"found '{token}', expected: ',' or 'end of string'")
            after = self._look()
            if not _is_word(after) and after != "!":
                raise SelectorError(f"found '{after}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        negated = self._look() == "!"
        if negated:
            self._take()
        key = self._take()
        if not _is_word(key):
            raise SelectorError(f"found '{key}', expected: identifier")
        _check_key(key)
        if negated:
            return Requirement(key, NOT_EXISTS)
        if self._look() in ("", ","):
            return Requirement(key, EXISTS)
        return self._comparison(key)

    def _comparison(self, key: str) -> Requirement:
        said = self._take()
        operator = _OPERATORS.get(said)
        if operator is None:
            raise SelectorError(f"found '{said}', expected: {_OPERATOR_LIST}")
        values = self._set() if operator in (IN, NOT_IN) else [self._exact()]
        for index, value in enumerate(sorted(set(values))):
            _check_value(key, index, value)
        if operator in (GREATER, LESS) and not _NUMBER.fullmatch(values[0]):
            shown = orjson.dumps(values[0]).decode()
            why = "for 'Gt', 'Lt' operators, the value must be an integer"
            raise SelectorError(f"values[0]: Invalid value: {shown}: {why}")
        operator = {"=": IN, "==": IN, "!=": NOT_IN}.get(operator, operator)
        return Requirement(key, operator, frozenset(values))

    def _exact(self) -> str:
        if self._look() in ("", ","):
            return ""
        value = self._take()
        if not _is_word(value):
            raise SelectorError(f"found '{value}', expected: identifier")
        return value

    def _set(self) -> list[str]:
        opening = self._take()
        if opening != "(":
            raise SelectorError(f"found '{opening}' expected: '('")
        token = self._look()
        if token == ")":
            self._take()
            return [""]
        if not _is_word(token) and token != ",":
            raise SelectorError(f"found '{token}', expected: ',', ')' or identifier")
        values = self._members()
        closing = self._take()
        if closing != ")":
            raise SelectorError(f"found '{closing}', expected: ')'")
        return values

    def _members(self) -> list[str]:
        values: list[str] = []
        while True:
            token = self._take()
            after = self._look()
            if _is_word(token):
                values.append(token)
                if after == ")":
                    return values
                if after != ",":
                    raise SelectorError(f"found '{after}', expected: ',' or ')'")
            elif token == ",":
                if not values:
                    values.append("")
                if after == ")":
                    return [*values, ""]
                if after == ",":
                    self._take()
                    values.append("")
            else:
                raise SelectorError(f"found '{token}', expected: ',', or identifier")


def _is_word(token: str) -> bool:
    return bool(token) and token not in ("!", "=", "==", "!=", "<", ">", "(", ")", ",")


def _check_key(key: str) -> None:
    problems = names.qualified_name(key)
    if problems:
        raise SelectorError(f"<nil>: Invalid value: {orjson.dumps(key).decode()}: {'; '.join(problems)}")


def _check_value(key: str, index: int, value: str) -> None:
    problems = names.label_value(value)
    if problems:
        shown = orjson.dumps(value).decode()
        raise SelectorError(f"values[{index}][{key}]: Invalid value: {shown}: {'; '.join(problems)}")


# label selectors as objects

_OBJECT_OPERATORS = {"In": IN, "NotIn": NOT_IN, "Exists": EXISTS, "DoesNotExist": NOT_EXISTS, "Gt": GREATER, "Lt": LESS}


def from_label_selector(selector: Mapping[str, Any] | None) -> Selector:
    """A metav1.LabelSelector: None matches nothing, an empty one everything."""
    if selector is None:
        return Selector(nothing=True)
    return _compiled(orjson.dumps(selector, option=orjson.OPT_SORT_KEYS))


@remember_short(4096)
def _compiled(encoded: bytes) -> Selector:
    selector = orjson.loads(encoded)
    found = [Requirement(key, IN, frozenset((value,))) for key, value in (selector.get("matchLabels") or {}).items()]
    found += [_from_expression(item) for item in selector.get("matchExpressions") or ()]
    return Selector(tuple(found))


def from_labels(labels: Labels | None) -> Selector:
    """A plain map of labels (a Service's or a ReplicationController's selector)."""
    return Selector(tuple(Requirement(key, IN, frozenset((value,))) for key, value in (labels or {}).items()))


def _from_expression(item: Mapping[str, Any]) -> Requirement:
    operator = _OBJECT_OPERATORS.get(item.get("operator", ""))
    if operator is None:
        raise SelectorError(f'"{item.get("operator", "")}" is not a valid label selector operator')
    return Requirement(item["key"], operator, frozenset(item.get("values") or ()))


# node selectors


def matches_node_selector_term(term: Mapping[str, Any], labels: Labels, name: str) -> bool:
    """
    Whether a node with these labels and this name meets a NodeSelectorTerm. One without any requirement, or with one
    that cannot be read, matches no node.
    """
    expressions: Sequence[Mapping[str, Any]] = term.get("matchExpressions") or ()
    by_fields: Sequence[Mapping[str, Any]] = term.get("matchFields") or ()
    if not expressions and not by_fields:
        return False
    return _all(expressions, labels) and _all(by_fields, {"metadata.name": name})


def _all(expressions: Sequence[Mapping[str, Any]], labels: Labels) -> bool:
    for item in expressions:
        operator = _OBJECT_OPERATORS.get(item.get("operator", ""))
        values: Sequence[str] = item.get("values") or ()
        if operator is None or (
            operator in (GREATER, LESS) and not (len(values) == 1 and _NUMBER.fullmatch(values[0]))
        ):
            return False
        if not Requirement(item["key"], operator, frozenset(values)).matches(labels):
            return False
    return True


# field selectors

FieldRequirement = tuple[str, bool, str]  # (field, is equal, value)


def parse_fields(text: str) -> list[FieldRequirement]:
    r"""`metadata.name=a,status.phase!=Running`; `\`, `,` and `=` in a value are escaped by `\`."""
    found: list[FieldRequirement] = []
    for part in _split_terms(text):
        if not part:
            continue
        name, operator, value = _split_term(part)
        if not operator:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{part}'")
        found.append((name, operator != "!=", _unescaped(value)))
    return found


def _split_terms(text: str) -> list[str]:
    """At commas that are not escaped."""
    parts, start, escaped = [], 0, False
    for index, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == ",":
            parts.append(text[start:index])
            start = index + 1
    return [*parts, text[start:]]


def _split_term(term: str) -> tuple[str, str, str]:
    """At the first operator: (left, operator, right)."""
    for index in range(len(term)):
        for operator in ("!=", "==", "="):
            if term.startswith(operator, index):
                return term[:index], operator, term[index + len(operator) :]
    return term, "", ""


def _unescaped(value: str) -> str:
    result, escaped = [], False
    for character in value:
        if escaped:
            if character not in "\\,=":
                raise SelectorError(f"invalid field selector: invalid escape sequence: \\{character}")
            result.append(character)
            escaped = False
        elif character == "\\":
            escaped = True
        elif character in ",=":
            raise SelectorError(f"invalid field selector: unescaped character in value: {character}")
        else:
            result.append(character)
    if escaped:
        raise SelectorError("invalid field selector: invalid escape sequence: \\")
    return "".join(result)
