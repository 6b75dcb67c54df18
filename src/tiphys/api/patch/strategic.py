"""
Kubernetes' strategic merge patch: maps merge, lists merge by the key that the schema names, or are replaced.

Directives in the patch: `$patch: replace|delete` in a map or list element, `$retainKeys`, `$setElementOrder/LIST` and
`$deleteFromPrimitiveList/LIST`. The order of a merged list is that of the patch (or of `$setElementOrder`) for what it
names; what only the server has keeps its place among the rest. Error texts are Kubernetes'; where it answers 500 for a
mistake of the client so do we (`PatchError.code`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tiphys.api.golike import go_type, printed
from tiphys.api.schema.types import Message

Object = dict[str, Any]

_DIRECTIVE, _RETAIN = "$patch", "$retainKeys"
_ORDER, _DELETE_FROM = "$setElementOrder/", "$deleteFromPrimitiveList/"
_MERGE, _REPLACE = "m", "r"


class PatchError(ValueError):
    """The patch cannot be applied; `code` is the status that Kubernetes answers."""

    def __init__(self, text: str, code: int = 500) -> None:
        super().__init__(text)
        self.code = code


def apply(document: Object, patch: Mapping[str, Any], message: Message | None) -> Object:
    """`document` is private to the caller and is changed; `patch` is not. `message` is the schema of both."""
    return _merge_map(document, patch, message)


def _merge_map(original: Object, patch: Mapping[str, Any], message: Message | None) -> Object:
    directive = patch.get(_DIRECTIVE)
    if _DIRECTIVE in patch:
        if directive == "replace":
            return {key: value for key, value in patch.items() if key != _DIRECTIVE}
        if directive == "delete":
            return {}
        raise PatchError(f"unknown patch type: {printed(directive)} in map: {printed(patch)}")
    left = dict(patch)
    _retain(original, left)
    for key in [key for key in left if key.startswith(_ORDER)]:
        _merge_in_order(original, left, key, message)
    for key, value in left.items():
        _merge_field(original, key, value, message)
    return original


def _retain(original: Object, patch: Object) -> None:
    """`$retainKeys` names every key that shall be left."""
    if _RETAIN not in patch:
        return
    kept = patch.pop(_RETAIN)
    if not isinstance(kept, list):
        raise PatchError("invalid patch format of $retainKeys", 400)
    for key, value in patch.items():
        if value is not None and not key.startswith((_ORDER, _DELETE_FROM)) and key not in kept:
            raise PatchError("invalid patch format of $retainKeys", 400)
    for key in [key for key in original if key not in kept]:
        del original[key]


def _merge_field(original: Object, key: str, value: Any, message: Message | None) -> None:
    deletes = key.startswith(_DELETE_FROM)
    if deletes:
        key = key.removeprefix(_DELETE_FROM)
    if value is None:
        original.pop(key, None)
        return
    held = original.get(key)
    if held is None or type(held) is not type(value):
        if not deletes:
            _take(original, key, value)
        return
    inner, strategy, merge_key = _schema_of(message, key)
    if isinstance(value, dict):
        original[key] = value if _REPLACE in strategy else _merge_map(held, value, inner)
    elif isinstance(value, list):
        merges = deletes or _MERGE in strategy
        original[key] = _merge_list(held, value, inner, merge_key, deletes=deletes) if merges else value
    else:
        original[key] = value


def _take(original: Object, key: str, value: Any) -> None:
    """A value that has no counterpart: without directives and nulls."""
    cleaned, keep = _without_directives(value)
    if keep:
        original[key] = cleaned


def _without_directives(value: Any) -> tuple[Any, bool]:
    if isinstance(value, dict):
        if value.get(_DIRECTIVE) == "delete":
            return None, False
        kept = {}
        for key, item in value.items():
            if item is None or key in (_DIRECTIVE, _RETAIN) or key.startswith((_ORDER, _DELETE_FROM)):
                continue
            cleaned, keep = _without_directives(item)
            if keep:
                kept[key] = cleaned
        return kept, True
    if isinstance(value, list):
        return [cleaned for cleaned, keep in map(_without_directives, value) if keep], True
    return value, True


def _schema_of(message: Message | None, key: str) -> tuple[Message | None, str, str]:
    """The message below a field, its strategies and its merge key."""
    field = message.fields.get(key) if message is not None else None
    return (field.message, field.merge, field.merge_key) if field is not None else (None, "", "")


# lists


def _merge_in_order(original: Object, patch: Object, directive: str, message: Message | None) -> None:
    order = patch.pop(directive)
    key = directive.removeprefix(_ORDER)
    held, given = original.get(key), patch.get(key)
    for each in (order, held or [], given or []):
        if not isinstance(each, list):
            raise PatchError(f"expected a []interface {{}}, but received a {go_type(each)}")
    inner, strategy, merge_key = _schema_of(message, key)
    _check_order(given or [], order, merge_key)
    if given is None:
        merged = held
    elif held is None:
        merged = _without_directives(given)[0]
    elif _MERGE in strategy:
        merged = _merge_list(list(held), given, inner, merge_key)
    else:
        merged = given
    if merged is None:
        return
    original[key] = _ordered(merged, order, _shared(held or [], given or [], merge_key), merge_key)
    patch.pop(key, None)


def _shared(held: list[Any], given: list[Any], merge_key: str) -> list[Any]:
    """
    The server's order that a set order is compared with: what the patch adds takes the places of what it deletes.

    In Kubernetes both lists share memory, and clients have got used to the outcome.
    """
    order, length = list(held), len(held)
    for item in given:
        if isinstance(item, dict) and item.get(_DIRECTIVE) == "delete":
            found = [at for at in range(length) if order[at].get(merge_key) == item.get(merge_key)]
            for at in reversed(found):
                length -= 1
                order[at:length] = order[at + 1 : length + 1]
    known = {each.get(merge_key) for each in held if isinstance(each, dict)}
    for item in given:
        if (
            isinstance(item, dict)
            and _DIRECTIVE not in item
            and item.get(merge_key) not in known
            and length < len(held)
        ):
            order[length] = item
            length += 1
    return order


def _check_order(given: Sequence[Any], order: Sequence[Any], merge_key: str) -> None:
    """What the patch names must come in the order that it sets itself."""
    identity = _identity(merge_key)
    wanted = iter([identity(item) for item in order])
    for item in given:
        if isinstance(item, dict) and _DIRECTIVE in item:
            continue
        if merge_key and (not isinstance(item, dict) or merge_key not in item):
            raise _no_key(item, merge_key)
        if not any(identity(item) == candidate for candidate in wanted):
            text = f"The order in patch list:\n{printed(list(given))}\n doesn't match $setElementOrder list:\n"
            raise PatchError(f"{text}{printed(list(order))}\n")


def _merge_list(
    original: list[Any], patch: list[Any], inner: Message | None, merge_key: str, *, deletes: bool = False
) -> list[Any]:
    if not original and not patch:
        return original
    if not any(isinstance(item, dict) for item in (*original, *patch)):
        if deletes:
            return [item for item in original if item not in patch]
        merged = list(dict.fromkeys([*original, *patch]))
        return _ordered(merged, patch, original, "")
    if not merge_key:
        raise PatchError("cannot merge lists without merge key")
    remaining, plain = _special(original, patch, merge_key)
    merged = _merge_elements(list(remaining), plain, inner, merge_key)
    return _ordered(merged, plain, remaining, merge_key)


def _special(original: list[Any], patch: list[Any], merge_key: str) -> tuple[list[Any], list[Any]]:
    """Carry out the `$patch` elements: what is left of the original, and what is left to merge."""
    plain: list[Any] = []
    replaces = False
    for item in patch:
        if not isinstance(item, dict):
            raise PatchError("lists of different types cannot be merged")
        if _DIRECTIVE not in item:
            plain.append(item)
        elif item[_DIRECTIVE] == "delete":
            if merge_key not in item:
                raise _no_key(item, merge_key)
            original = [held for held in original if held.get(merge_key) != item[merge_key]]
        elif item[_DIRECTIVE] == "replace":
            replaces = True
        elif item[_DIRECTIVE] == "merge":
            raise PatchError("merging lists cannot yet be specified in the patch")
        else:
            raise PatchError(f"unknown patch type: {printed(item[_DIRECTIVE])} in map: {printed(item)}")
    return (plain, []) if replaces else (original, plain)


def _merge_elements(original: list[Any], patch: list[Any], inner: Message | None, merge_key: str) -> list[Any]:
    for item in patch:
        if merge_key not in item:
            raise _no_key(item, merge_key)
        found = next((i for i, held in enumerate(original) if held.get(merge_key) == item[merge_key]), None)
        if found is None:
            original.append(_without_directives(item)[0])
        else:
            original[found] = _merge_map(original[found], item, inner)
    return original


def _no_key(item: Any, merge_key: str) -> PatchError:
    return PatchError(f"map: {printed(item)} does not contain declared merge key: {merge_key}")


def _identity(merge_key: str) -> Callable[[Any], Any]:
    """What tells list elements apart: the merge key's value, or a scalar itself."""
    if not merge_key:
        return lambda item: item
    return lambda item: item.get(merge_key) if isinstance(item, dict) else item


def _ordered(merged: Sequence[Any], order: Sequence[Any], server: Sequence[Any], merge_key: str) -> list[Any]:
    """
    Elements that `order` names stand in its order; the others keep the server's order among themselves, and each stands
    before the first named element that came after it on the server.
    """
    identity = _identity(merge_key)
    place = {identity(item): index for index, item in reversed(list(enumerate(order)))}
    served = {identity(item): index for index, item in reversed(list(enumerate(server)))}
    named = sorted((item for item in merged if identity(item) in place), key=lambda item: place[identity(item)])
    others = [item for item in merged if identity(item) not in place]
    others.sort(key=lambda item: served.get(identity(item), len(served)))
    result: list[Any] = []
    while others and named:
        left, right = served.get(identity(others[0])), served.get(identity(named[0]))
        first = left is not None and right is not None and left < right
        result.append((others if first else named).pop(0))
    return [*result, *others, *named]
