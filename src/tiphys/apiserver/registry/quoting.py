"""
A patched document as Kubernetes quotes it when it does not fit its type.

Go's patch library keeps what a patch did not touch as the bytes of the struct (fields in the struct's order) and prints
what it opened as a map (fields sorted). Messages carry that mixture whole, so it is made here: from the schema's field
numbers, which follow the struct, and from the paths that the patch went through.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from tiphys.api.schema.types import Field, Message, Shape

Path = tuple[str, ...]
# Behind all fields that have a number.
_UNNUMBERED = 1 << 30
# TypeMeta comes first in every top-level struct; it has no numbers.
_FIRST = {"kind": -2, "apiVersion": -1}
# Fields that were added later and stand elsewhere in the struct than their number says.
_CONTAINER = {
    "envFrom": 6.5, "resizePolicy": 8.1, "restartPolicy": 8.2, "restartPolicyRules": 8.3, "volumeDevices": 9.5,
    "startupProbe": 11.5, "terminationMessagePolicy": 13.5,
}  # fmt: skip
_MOVED: Mapping[str, Mapping[str, float]] = {
    "core.v1.Container": _CONTAINER,
    "core.v1.EphemeralContainerCommon": _CONTAINER,
    "core.v1.EphemeralContainer": _CONTAINER,
    "core.v1.PodSpec": {"initContainers": 1.5, "ephemeralContainers": 2.5},
    "core.v1.ServiceSpec": {"clusterIPs": 3.5},
    "core.v1.ServicePort": {"appProtocol": 2.5},
}


def quote(document: Any, message: Message, opened: set[Path]) -> str:
    """The document as one line of JSON."""
    return orjson.dumps(_arranged(document, message, opened, ())).decode()


def opened_by_operations(operations: Iterable[Mapping[str, Any]]) -> set[Path]:
    """The containers that the operations of a JSON patch go through."""
    opened: set[Path] = {()}
    for operation in operations:
        for pointer in (operation.get("path"), operation.get("from")):
            if isinstance(pointer, str):
                steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
                opened.update(tuple(steps[:length]) for length in range(len(steps)))
    return opened


def opened_by_merge(patch: Any, path: Path = ()) -> set[Path]:
    """The containers that a merge patch goes into."""
    opened: set[Path] = set()
    if isinstance(patch, Mapping):
        opened.add(path)
        for name, value in patch.items():
            opened |= opened_by_merge(value, (*path, name))
    return opened


def _place(name: str, fields: Mapping[str, Field]) -> float:
    number = fields[name].number if name in fields else _UNNUMBERED
    return number or _FIRST.get(name, _UNNUMBERED)


def in_document_order(document: Any, message: Message, opened: set[Path]) -> Any:
    """The document with its fields in the order in which it is quoted."""
    return _arranged(document, message, opened, ())


def _arranged(value: Any, message: Message | None, opened: set[Path], path: Path) -> Any:
    if isinstance(value, list):
        return [_arranged(item, message, opened, (*path, str(index))) for index, item in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    fields = message.fields if message is not None else {}
    names = sorted(value)
    if message is not None and path not in opened:
        moved = _MOVED.get(message.name, {})
        names.sort(key=lambda name: moved.get(name) or _place(name, fields))
    arranged = {}
    for name in names:
        field = fields.get(name)
        inner = field.message if field is not None else None
        if field is not None and field.shape is Shape.MAP and isinstance(value[name], Mapping):
            arranged[name] = {
                key: _arranged(item, inner, opened, (*path, name, key)) for key, item in sorted(value[name].items())
            }
        else:
            arranged[name] = _arranged(value[name], inner, opened, (*path, name))
    return arranged
