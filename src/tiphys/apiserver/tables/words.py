"""How durations, selectors, lists and missing values read in a table: as kubectl users know them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tiphys.api.objects import parse_timestamp

Object = Mapping[str, Any]

NONE, UNSET, UNKNOWN = "<none>", "<unset>", "<unknown>"
# How many entries of a list a cell names.
NAMED_MAX = 3

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 365 * 86400


def duration(seconds: float) -> str:
    """Two figures at most, and fewer the longer it is: `59s`, `5m30s`, `4h5m`, `6d2h`, `3y40d`."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 2 * _MINUTE:
        return f"{max(whole, 0)}s"
    if whole < 10 * _MINUTE:
        return _pair(whole, _MINUTE, "m", 1, "s")
    if whole < 3 * _HOUR:
        return f"{whole // _MINUTE}m"
    if whole < 8 * _HOUR:
        return _pair(whole, _HOUR, "h", _MINUTE, "m")
    if whole < 2 * _DAY:
        return f"{whole // _HOUR}h"
    if whole < 8 * _DAY:
        return _pair(whole, _DAY, "d", _HOUR, "h")
    if whole < 2 * _YEAR:
        return f"{whole // _DAY}d"
    return _pair(whole, _YEAR, "y", _DAY, "d") if whole < 8 * _YEAR else f"{whole // _YEAR}y"


def _pair(seconds: int, big: int, big_unit: str, small: int, small_unit: str) -> str:
    rest = seconds % big // small
    return f"{seconds // big}{big_unit}" + (f"{rest}{small_unit}" if rest else "")


def since(moment: str | None, now: float) -> str:
    """The age of an RFC 3339 time."""
    return duration(now - _seconds(moment)) if moment else UNKNOWN


@functools.lru_cache(maxsize=4096)
def _seconds(moment: str) -> float:
    return parse_timestamp(moment)


def age(obj: Object, now: float) -> str:
    return since(obj["metadata"].get("creationTimestamp"), now)


def labels(pairs: Mapping[str, str] | None) -> str:
    """`a=1,b=2`"""
    return ",".join([f"{name}={pairs[name]}" for name in sorted(pairs)]) if pairs else NONE


def selector(chosen: Object | None) -> str:
    """A label selector in the words of `kubectl get -l`."""
    if not chosen:
        return NONE
    parts = [(name, f"{name}={value}") for name, value in (chosen.get("matchLabels") or {}).items()]
    parts += [(one["key"], _requirement(one)) for one in chosen.get("matchExpressions") or ()]
    return ",".join([text for _, text in sorted(parts, key=lambda part: part[0])]) or NONE


def _requirement(one: Object) -> str:
    key, operator, values = one["key"], one["operator"], ",".join(sorted(one.get("values") or ()))
    texts = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key, "DoesNotExist": f"!{key}"}
    return texts.get(operator, "<error>")


def some(entries: Sequence[str], named_max: int = NAMED_MAX, separator: str = ",") -> str:
    """The first entries, and how many more there are."""
    shown = separator.join(entries[:named_max])
    more = len(entries) - named_max
    return f"{shown} + {more} more..." if more > 0 else shown


def truth(value: bool | None) -> str:
    """`True`, `False` or `<unset>`: a boolean in a column of text."""
    return UNSET if value is None else str(value)


def joined(entries: Iterable[str] | None, separator: str = ",") -> str:
    return separator.join(entries or ()) or NONE


def containers(template: Object) -> tuple[str, str]:
    """Names and images of a pod template's containers."""
    listed = (template.get("spec") or {}).get("containers") or ()
    return ",".join([one["name"] for one in listed]), ",".join([one.get("image", "") for one in listed])


def condition(obj: Object, kind: str) -> str:
    """The status of a condition; empty if there is none."""
    for one in (obj.get("status") or {}).get("conditions") or ():
        if one["type"] == kind:
            return str(one["status"])
    return ""
