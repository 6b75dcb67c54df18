"""
What strict field validation finds: fields that the schema does not know and keys that were written twice.

A second look at a body in which the typed decoder has met something unknown, or in which the parser has met a repeated
key; so the common, clean body pays nothing for the paths. The order is that of the document, as Go's decoder reports
it: `duplicate field "spec.containers[0].name"` before `unknown field "spec.containers[0].foo"` if it comes first.
Nothing is reported inside a field that is itself unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.api.schema.types import Field, Kind, Message, Shape

# As many as Go's decoder keeps, so that a hostile body cannot make a long list of complaints.
FINDINGS_MAX = 100


class Repeated(dict[str, Any]):
    """An object in which a key came more than once: the last one counts, `pairs` has them all."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: Iterable[tuple[str, Any]]) -> None:
        self.pairs = tuple(pairs)
        super().__init__(self.pairs)


def folded(raw: Any) -> Any:
    """A document without repeated keys, as Go's decoder makes it: it reads an object into what it has read before."""
    if isinstance(raw, list):
        return [folded(item) for item in raw]
    if not isinstance(raw, dict):
        return raw
    made: dict[str, Any] = {}
    for name, value in raw.pairs if isinstance(raw, Repeated) else raw.items():
        value = folded(value)
        held = made.get(name)
        made[name] = _onto(held, value) if isinstance(held, dict) and isinstance(value, dict) else value
    return made


def _onto(held: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    both = {name for name in value if isinstance(held.get(name), dict) and isinstance(value[name], dict)}
    return {**held, **{name: _onto(held[name], item) if name in both else item for name, item in value.items()}}


def findings(raw: dict[str, Any], message: Message) -> list[str]:
    """Unknown and repeated fields of a body, in the order of the document, each once."""
    found: dict[str, None] = {}
    _message(raw, message, "", found)
    return list(found)[:FINDINGS_MAX]


def repeated_keys(raw: Any) -> list[str]:
    """Repeated fields of a document without a schema (a patch)."""
    found: dict[str, None] = {}
    _untyped(raw, "", found)
    return list(found)[:FINDINGS_MAX]


def _pairs(raw: dict[str, Any], path: str, found: dict[str, None]) -> Iterable[tuple[str, Any, str]]:
    seen: set[str] = set()
    for name, value in raw.pairs if isinstance(raw, Repeated) else raw.items():
        inner = f"{path}.{name}" if path else name
        if name in seen:
            found[f'duplicate field "{inner}"'] = None
        seen.add(name)
        yield name, value, inner


def _message(raw: Any, message: Message, path: str, found: dict[str, None]) -> None:
    if not isinstance(raw, dict):
        return
    seen: set[str] = set()
    for name, value in raw.pairs if isinstance(raw, Repeated) else raw.items():
        inner = f"{path}.{name}" if path else name
        field = message.fields.get(name)
        if field is None:
            if not message.open:
                found[f'unknown field "{inner}"'] = None
            continue
        if name in seen:
            found[f'duplicate field "{inner}"'] = None
        seen.add(name)
        _field(value, field, inner, found)


def _field(value: Any, field: Field, path: str, found: dict[str, None]) -> None:
    message = field.message
    if field.shape is Shape.LIST and isinstance(value, list):
        if message is not None:
            for index, item in enumerate(value):
                _message(item, message, f"{path}[{index}]", found)
    elif field.shape is Shape.MAP and isinstance(value, dict):
        for _, item, inner in _pairs(value, path, found):
            if message is not None:
                _message(item, message, inner, found)
    elif message is not None:
        _message(value, message, path, found)
    elif field.kind is Kind.ANY:
        return


def _untyped(value: Any, path: str, found: dict[str, None]) -> None:
    if isinstance(value, dict):
        for _, item, inner in _pairs(value, path, found):
            _untyped(item, inner, found)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _untyped(item, f"{path}[{index}]", found)
