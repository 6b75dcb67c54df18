"""
When a CronJob is due: which time it has missed last, and when the next one comes. Pure.

Only the last time that was missed counts; those before it are made up for by nobody.
"""

from __future__ import annotations

import datetime
import functools
import itertools
import zoneinfo
from dataclasses import dataclass
from typing import Any

from tiphys.api.cron import Schedule
from tiphys.api.objects import parse_timestamp

Object = dict[str, Any]

# Kubernetes says that something is wrong (the clock?) when more were missed.
MISSED_MAX = 100


@dataclass(frozen=True, slots=True)
class Due:
    """`missed` is the last scheduled time that was not answered, `following` the next one to come."""

    missed: float | None
    too_many: bool
    following: float | None


def due(cronjob: Object, schedule: Schedule, zone: datetime.tzinfo, now: float) -> Due:
    """Count from the last start, or from the creation; no further back than startingDeadlineSeconds."""
    begin = earliest = _begin(cronjob)
    deadline = cronjob["spec"].get("startingDeadlineSeconds")
    if deadline is not None:
        earliest = max(earliest, now - deadline)
    missed = schedule.latest(earliest, now, zone)
    last = schedule.latest(begin, now, zone)
    following = schedule.after(begin if last is None else last, zone)
    return Due(missed, missed is not None and _are_too_many(schedule, zone, earliest, now), following)


def _begin(cronjob: Object) -> float:
    last = (cronjob.get("status") or {}).get("lastScheduleTime")
    return parse_timestamp(last or cronjob["metadata"]["creationTimestamp"])


def _are_too_many(schedule: Schedule, zone: datetime.tzinfo, since: float, now: float) -> bool:
    moment: float | None = since
    for count in itertools.count():
        moment = schedule.after(moment, zone) if moment is not None else None
        if moment is None or moment > now:
            return count > MISSED_MAX
        if count > MISSED_MAX:
            return True
    raise AssertionError("count() has no end")


@functools.lru_cache(maxsize=256)
def zone_of(name: str) -> datetime.tzinfo:
    """The time zone of that name; UTC where none is said. ValueError if there is none."""
    if not name:
        return datetime.UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, OSError) as error:
        raise ValueError(f"unknown time zone {name}") from error
