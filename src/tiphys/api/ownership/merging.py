"""Objects and sets together: merge an applied configuration into an object, take fields out of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tiphys.api.ownership.sets import Fields, has_itself
from tiphys.api.ownership.types import LEAF, Doubled, Mode, Type, keyed, plan_of
from tiphys.api.schema.types import Message

Object = dict[str, Any]


def merge(live: Mapping[str, Any], applied: Mapping[str, Any], message: Message | None) -> Object:
    """`live` with everything that `applied` says; lists by their keys, in the order of `applied`. Pure."""
    plan = plan_of(message) if message is not None else {}
    result = dict(live)
    for name, value in applied.items():
        of = plan[name][1] if name in plan else LEAF
        result[name] = _merged(result[name], value, of) if name in result else value
    return result


def _merged(live: Any, applied: Any, of: Type) -> Any:
    if of.mode is Mode.LEAF or not live or not applied or isinstance(live, Doubled):
        return applied if of.mode is Mode.LEAF or applied or applied is None else live
    if of.mode is Mode.STRUCT:
        return merge(live, applied, of.message)
    if of.mode is Mode.MAP:
        return {**live, **{name: _merged(live.get(name), item, of.item) for name, item in applied.items()}}
    held, given = keyed(live, of), keyed(applied, of)
    merged = {name: _merged(held[name], item, of.item) if name in held else item for name, item in given.items()}
    return _listed(merged[name] if name in merged else held[name] for name in _in_order(list(held), list(given)))


def _listed(items: Iterable[Any]) -> list[Any]:
    return [each for item in items for each in (item if isinstance(item, Doubled) else (item,))]


def _in_order(held: list[str], given: list[str]) -> list[str]:
    """What is only held stands where it is met on the way; the others in the order in which they are given."""
    wanted, known = set(given), set(held)
    shared = [name for name in given if name in known]
    result: list[str] = []
    left, right = 0, 0
    while left < len(held) or right < len(given):
        if left < len(held) and held[left] not in wanted:
            result.append(held[left])
            left += 1
        elif left < len(held) and (not shared or held[left] != shared[0]):
            left += 1
        elif right < len(given):
            result.append(given[right])
            if shared and given[right] == shared[0]:
                shared.pop(0)
            right += 1
        else:
            left += 1
    return result


def remove(value: Mapping[str, Any], gone: Fields, message: Message | None) -> Object:
    """`value` without the members of `gone` and what is below them. Pure."""
    plan = plan_of(message) if message is not None else {}
    result: Object = {}
    for name, item in value.items():
        element, of = plan.get(name, (f"f:{name}", LEAF))
        node = gone.get(element)
        if node is None:
            result[name] = item
        elif not has_itself(node):
            result[name] = _without(item, node, of)
    return result


def _without(value: Any, gone: Fields, of: Type) -> Any:
    if not value or of.mode is Mode.LEAF or isinstance(value, Doubled):
        return value
    if of.mode is Mode.STRUCT:
        return remove(value, gone, of.message)
    if of.mode is Mode.MAP:
        left = _left({f"f:{name}": item for name, item in value.items()}, gone, of)
        return {element.removeprefix("f:"): item for element, item in left.items()}
    return _listed(_left(keyed(value, of), gone, of).values())


def _left(items: Mapping[str, Any], gone: Fields, of: Type) -> dict[str, Any]:
    left: dict[str, Any] = {}
    for element, item in items.items():
        node = gone.get(element)
        if node is None:
            left[element] = item
        elif not has_itself(node):
            left[element] = _without(item, node, of.item)
    return left
