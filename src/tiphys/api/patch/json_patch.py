"""
JSON patch, RFC 6902, with the liberties that Kubernetes takes.

An index may be negative (counted from the end); `test` of null passes where there is nothing; `add` without a value
adds null; `replace` of a key that is not there adds it, and `copy` from one adds null. Everything that does not apply
is a PatchError: Kubernetes tells the client no more than that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

_INDEX = re.compile(r"-?[0-9]{1,9}")
# Copies may not make a document of more than this out of a small one.
COPIED_BYTES_MAX = 3 * 1024 * 1024


class PatchError(ValueError):
    """An operation that cannot be applied."""


def apply(document: Any, operations: Sequence[Mapping[str, Any]]) -> Any:
    """The document after all operations, in order. `document` is private to the caller and may be changed."""
    copied = 0
    for operation in operations:
        match operation.get("op"):
            case "add":
                _add(document, _path(operation, "path"), operation.get("value"))
            case "remove":
                _remove(document, _path(operation, "path"))
            case "replace":
                document = _replace(document, _path(operation, "path"), operation.get("value"))
            case "test":
                _test(document, _path(operation, "path"), operation.get("value"))
            case "move":
                source = _path(operation, "from")
                value = _value_at(document, source)
                _remove(document, source)
                _add(document, _path(operation, "path"), value)
            case "copy":
                encoded = orjson.dumps(_copied(document, _path(operation, "from")))
                copied += len(encoded)
                if copied > COPIED_BYTES_MAX:
                    raise PatchError("the copies are too large")
                _add(document, _path(operation, "path"), orjson.loads(encoded))
            case unknown:
                raise PatchError(f"unexpected kind: {unknown}")
    return document


def _path(operation: Mapping[str, Any], name: str) -> list[str]:
    """The keys of a JSON pointer; what comes before the first slash is ignored."""
    said = operation.get(name)
    if not isinstance(said, str):
        raise PatchError(f"missing {name}")
    return [part.replace("~1", "/").replace("~0", "~") for part in said.split("/")[1:]]


def _holder(document: Any, path: Sequence[str]) -> Any:
    """What holds the last key of the path."""
    if not path:
        raise PatchError("the path names the document itself")
    for key in path[:-1]:
        document = _get(document, key)
    if not isinstance(document, dict | list):
        raise PatchError("the path leads into nothing")
    return document


def _get(holder: Any, key: str) -> Any:
    if isinstance(holder, dict):
        if key not in holder:
            raise PatchError(f"there is no {key}")
        return holder[key]
    if isinstance(holder, list):
        return holder[_index(key, len(holder))]
    raise PatchError("the path leads into nothing")


def _index(key: str, length: int) -> int:
    """An index that exists, negative ones from the end."""
    if not _INDEX.fullmatch(key):
        raise PatchError(f"{key} is no index")
    index = int(key)
    index += length if index < 0 else 0
    if not 0 <= index < length:
        raise PatchError(f"there is no element {key}")
    return index


def _value_at(document: Any, path: Sequence[str]) -> Any:
    return _get(_holder(document, path), path[-1])


def _copied(document: Any, path: Sequence[str]) -> Any:
    """The value at a path; null where an object has no such key."""
    holder = _holder(document, path)
    return holder.get(path[-1]) if isinstance(holder, dict) else _get(holder, path[-1])


def _add(document: Any, path: Sequence[str], value: Any) -> None:
    holder = _holder(document, path)
    if isinstance(holder, dict):
        holder[path[-1]] = value
    elif path[-1] == "-":
        holder.append(value)
    else:
        holder.insert(_index(path[-1], len(holder) + 1), value)


def _remove(document: Any, path: Sequence[str]) -> None:
    holder = _holder(document, path)
    _get(holder, path[-1])
    if isinstance(holder, dict):
        del holder[path[-1]]
    else:
        del holder[_index(path[-1], len(holder))]


def _replace(document: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    holder = _holder(document, path)
    if isinstance(holder, dict):
        holder[path[-1]] = value
    else:
        holder[_index(path[-1], len(holder))] = value
    return document


def _test(document: Any, path: Sequence[str], value: Any) -> None:
    if path:
        holder = _holder(document, path)
        missing = isinstance(holder, dict) and path[-1] not in holder
        document = None if missing else _get(holder, path[-1])
    if not _equal(document, value):
        raise PatchError("the test failed")


def _equal(one: Any, other: Any) -> bool:
    """JSON equality: unlike Python's, true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)
