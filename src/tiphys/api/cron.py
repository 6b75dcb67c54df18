"""
The schedule of a CronJob: five fields, a descriptor such as `@daily`, or `@every 1h`.

Errors have the words of the Go library that Kubernetes reads schedules with, since clients see them. Times are Unix
seconds; fields are read on the clock of a time zone. A time that its clock skips in spring does not come, one that it
shows twice in autumn comes twice. Where both the day of the month and that of the week are restricted, either will do.
"""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Per field: lowest, highest, names.
_FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    (0, 6, {name: number for number, name in enumerate(_DAYS)}),
)
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
_EVERY = "@every "
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_DURATION = re.compile(rf"([+-]?)(0|({_PART.pattern})+)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
# A day that no year has (31 February) is looked for no longer.
_REACH_SECONDS = 5 * 366 * 86_400
_MINUTE, _HOUR = 60, 3600


@dataclass(frozen=True, slots=True)
class Interval:
    """`@every`: counted from wherever one begins."""

    seconds: int

    def after(self, moment: float, zone: datetime.tzinfo) -> float | None:
        """The first time after `moment`."""
        return int(moment) + float(self.seconds)

    def latest(self, since: float, until: float, zone: datetime.tzinfo) -> float | None:
        """The last time after `since` and not after `until`."""
        times = int(until - since) // self.seconds
        return int(since) + float(times * self.seconds) if times > 0 else None


@dataclass(frozen=True, slots=True)
class Calendar:
    """The numbers that each field names; `any_day`, `any_weekday`: that field says nothing about days."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool

    def after(self, moment: float, zone: datetime.tzinfo) -> float | None:
        """The first time after `moment`; None if there is none in the next five years."""
        start = (int(moment) // _MINUTE + 1) * _MINUTE
        return self._search(start, zone, self._later, lambda at: at <= start + _REACH_SECONDS)

    def latest(self, since: float, until: float, zone: datetime.tzinfo) -> float | None:
        """The last time after `since` and not after `until`."""
        end = int(until) // _MINUTE * _MINUTE
        first = max(since, end - _REACH_SECONDS)
        return self._search(end, zone, self._earlier, lambda at: at > first)

    def _search(
        self,
        moment: int,
        zone: datetime.tzinfo,
        step: Callable[[int, datetime.datetime], int],
        within: Callable[[int], bool],
    ) -> float | None:
        while within(moment):
            local = datetime.datetime.fromtimestamp(moment, zone)
            if self._is_due(local):
                return float(moment)
            moment = step(moment, local)
        return None

    def _is_due(self, local: datetime.datetime) -> bool:
        return self._has_day(local) and local.hour in self.hours and local.minute in self.minutes

    def _has_day(self, local: datetime.datetime) -> bool:
        if local.month not in self.months:
            return False
        by_date, by_weekday = local.day in self.days, local.isoweekday() % 7 in self.weekdays
        both = by_date and by_weekday
        return both if self.any_day or self.any_weekday else by_date or by_weekday

    def _later(self, moment: int, local: datetime.datetime) -> int:
        """The next moment that may be due: the next day, hour or minute."""
        if not self._has_day(local):
            midnight = datetime.datetime.combine(local.date() + datetime.timedelta(1), datetime.time(), local.tzinfo)
            return max(int(midnight.timestamp()), moment + _MINUTE)
        if local.hour not in self.hours:
            return moment + _HOUR - local.minute * _MINUTE
        following = min((minute for minute in self.minutes if minute > local.minute), default=60)
        return moment + (following - local.minute) * _MINUTE

    def _earlier(self, moment: int, local: datetime.datetime) -> int:
        if not self._has_day(local):
            midnight = datetime.datetime.combine(local.date(), datetime.time(), local.tzinfo)
            return min(int(midnight.timestamp()), moment) - _MINUTE
        if local.hour not in self.hours:
            return moment - (local.minute + 1) * _MINUTE
        before = max((minute for minute in self.minutes if minute < local.minute), default=-1)
        return moment - (local.minute - before) * _MINUTE


Schedule = Interval | Calendar


def problem(text: str) -> str:
    """What is wrong with a schedule; empty if nothing is."""
    try:
        parse(text)
    except ValueError as error:
        return str(error)
    return ""


@functools.lru_cache(maxsize=1024)
def parse(text: str) -> Schedule:
    """The schedule of a text; a time zone in it is passed over. ValueError with Go's words."""
    if not text:
        raise ValueError("empty spec string")
    if text.startswith(("TZ=", "CRON_TZ=")):
        text = text.partition(" ")[2].strip()
    if text.startswith("@"):
        return _descriptor(text)
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise ValueError(f"expected exactly 5 fields, found {len(parts)}: [{' '.join(parts)}]")
    fields = [_field(part, *limits) for part, limits in zip(parts, _FIELDS, strict=True)]
    minutes, hours, days, months, weekdays = (numbers for numbers, _ in fields)
    return Calendar(minutes, hours, days, months, weekdays, any_day=fields[2][1], any_weekday=fields[4][1])


def _descriptor(text: str) -> Schedule:
    if text in _DESCRIPTORS:
        return parse(_DESCRIPTORS[text])
    if not text.startswith(_EVERY):
        raise ValueError(f"unrecognized descriptor: {text}")
    duration = text.removeprefix(_EVERY)
    whole = _DURATION.fullmatch(duration)
    if not whole:
        quoted = f'"{duration}"'
        why = f"time: invalid duration {quoted}"
        if re.fullmatch(r"\d+", duration):
            why = f"time: missing unit in duration {quoted}"
        raise ValueError(f"failed to parse duration {text}: {why}")
    seconds = sum(float(amount) * _SECONDS[unit] for amount, unit in _PART.findall(duration))
    return Interval(max(int(seconds), 1) if whole[1] != "-" else 1)


def _field(part: str, low: int, high: int, names: dict[str, int]) -> tuple[frozenset[int], bool]:
    """The numbers of a field, and whether it lets everything pass."""
    found: set[int] = set()
    is_any = False
    for expression in part.split(","):
        if expression:
            numbers, is_whole = _range(expression, low, high, names)
            found.update(numbers)
            is_any = is_any or is_whole
    return frozenset(found), is_any


def _range(expression: str, low: int, high: int, names: dict[str, int]) -> tuple[range, bool]:
    range_and_step = expression.split("/")
    low_and_high = range_and_step[0].split("-")
    single = len(low_and_high) == 1
    is_star = low_and_high[0] in ("*", "?")
    if is_star:
        start, end = low, high
    else:
        start = _number(low_and_high[0], names)
        if len(low_and_high) > 2:
            raise ValueError(f"too many hyphens: {expression}")
        end = start if single else _number(low_and_high[1], names)
    step = 1
    if len(range_and_step) > 2:
        raise ValueError(f"too many slashes: {expression}")
    if len(range_and_step) == 2:
        step = _number(range_and_step[1], {})
        end = high if single else end
    _check_limits(expression, (start, end, step), low, high)
    return range(start, end + 1, step), is_star and step == 1


def _check_limits(expression: str, found: tuple[int, int, int], low: int, high: int) -> None:
    start, end, step = found
    if start < low:
        raise ValueError(f"beginning of range ({start}) below minimum ({low}): {expression}")
    if end > high:
        raise ValueError(f"end of range ({end}) above maximum ({high}): {expression}")
    if start > end:
        raise ValueError(f"beginning of range ({start}) beyond end of range ({end}): {expression}")
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {expression}")


def _number(text: str, names: dict[str, int]) -> int:
    named = names.get(text.lower())
    if named is not None:
        return named
    if not re.fullmatch(r"[+-]?\d+", text, re.ASCII):
        why = f'strconv.Atoi: parsing "{text}": invalid syntax'
        raise ValueError(f"failed to parse int from {text}: {why}")
    if int(text) < 0:
        raise ValueError(f"negative number ({int(text)}) not allowed: {text}")
    return int(text)
