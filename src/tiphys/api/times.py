"""
Times as Go reads and prints them: RFC 3339 in, whole seconds (Time) or microseconds (MicroTime) in UTC out.

Errors have the words of Go's time.Parse, since clients see them: `parsing time "x" as "2006-…": cannot parse "x" as
"2006"`.
"""

from __future__ import annotations

import datetime
import functools
import re

SECONDS_LAYOUT = "2006-01-02T15:04:05Z07:00"
MICROSECONDS_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"
_WHOLE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII | re.DOTALL
)
# What time.Parse looks for, one element after the other: (pattern, the element in the layout, lowest, highest).
_ELEMENTS = (
    (r"\d{4}", "2006", "year", 0, 9999),
    (r"-", "-", "", 0, 0),
    (r"\d\d", "01", "month", 1, 12),
    (r"-", "-", "", 0, 0),
    (r"\d\d", "02", "day", 1, 31),
    (r"T", "T", "", 0, 0),
    (r"\d\d?", "15", "hour", 0, 23),
    (r":", ":", "", 0, 0),
    (r"\d\d", "04", "minute", 0, 59),
    (r":", ":", "", 0, 0),
    (r"\d\d", "05", "second", 0, 59),
)


@functools.lru_cache(maxsize=4096)
def canonical_time(text: str) -> str:
    """`2024-01-01T00:00:00+02:00` as `2023-12-31T22:00:00Z`. ValueError with Go's words."""
    moment = _parse(text, SECONDS_LAYOUT)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment.year > 999 else _padded(moment, "seconds")


@functools.lru_cache(maxsize=4096)
def canonical_micro_time(text: str) -> str:
    """The same with exactly six digits of fraction."""
    found = _WHOLE.fullmatch(text)
    if found is not None and len(found[7] or "") != 6:
        rest = text[19:]
        raise ValueError(_cannot(text, MICROSECONDS_LAYOUT, rest, ".000000"))
    return _padded(_parse(text, MICROSECONDS_LAYOUT), "microseconds")


def _padded(moment: datetime.datetime, precision: str) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def _parse(text: str, layout: str) -> datetime.datetime:
    found = _WHOLE.fullmatch(text)
    if found is None:
        raise ValueError(_complaint(text, layout))
    year, month, day, hour, minute, second, fraction, sign, zone_hours, zone_minutes = found.groups()
    micro = int(((fraction or "") + "000000")[:6])
    try:
        moment = datetime.datetime(
            int(year), int(month), int(day), int(hour), int(minute), int(second), micro, datetime.UTC
        )
        if sign:
            offset = datetime.timedelta(hours=int(zone_hours), minutes=int(zone_minutes))
            moment += -offset if sign == "+" else offset
    except (ValueError, OverflowError):
        raise ValueError(_complaint(text, layout)) from None
    return moment


def _complaint(text: str, layout: str) -> str:
    """Where time.Parse stops, and why."""
    rest = text
    for pattern, element, name, lowest, highest in _ELEMENTS:
        found = re.match(pattern, rest, re.ASCII)
        if found is None:
            return _cannot(text, layout, rest, element)
        if name and not lowest <= int(found[0]) <= highest:
            return f'parsing time "{text}": {name} out of range'
        rest = rest[found.end() :]
    if layout == MICROSECONDS_LAYOUT and re.match(r"\.\d{6}(?!\d)", rest) is None:
        return _cannot(text, layout, rest, ".000000")
    rest = re.sub(r"^[.,]\d+", "", rest)
    zone = re.match(r"Z|[+-]\d\d:\d\d", rest, re.ASCII)
    if zone is None:
        return _cannot(text, layout, rest, "Z07:00")
    if rest[zone.end() :]:
        return f'parsing time "{text}": extra text: "{rest[zone.end() :]}"'
    return f'parsing time "{text}": day out of range'


def _cannot(text: str, layout: str, rest: str, element: str) -> str:
    return f'parsing time "{text}" as "{layout}": cannot parse "{rest}" as "{element}"'
