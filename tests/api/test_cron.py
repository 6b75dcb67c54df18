"""When a schedule is due, on clocks that jump too. (Its errors: test_validation_workloads.py.)"""

import datetime
import random
from zoneinfo import ZoneInfo

import pytest

from tiphys.api.cron import parse

UTC = datetime.UTC
BERLIN, HAVANA = ZoneInfo("Europe/Berlin"), ZoneInfo("America/Havana")


def at(text, zone=UTC):
    return datetime.datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def shown(moment, zone=UTC):
    return datetime.datetime.fromtimestamp(moment, zone).strftime("%Y-%m-%d %H:%M %z")


@pytest.mark.parametrize(
    ("text", "moment", "following"),
    [
        ("*/15 * * * *", "2026-01-01 00:00", "2026-01-01 00:15"),
        ("5,35 8-10 * * *", "2026-01-01 10:35", "2026-01-02 08:05"),
        ("30 6-16/4 * * 1-5", "2026-01-02 14:30", "2026-01-05 06:30"),
        ("0 0 13 * FRI", "2026-01-01 00:00", "2026-01-02 00:00"),
        ("0 0 */2 * FRI", "2026-01-01 00:00", "2026-01-02 00:00"),
        ("0 0 * * fri", "2026-01-03 00:00", "2026-01-09 00:00"),
        ("0 12 29 feb ?", "2026-01-01 00:00", "2028-02-29 12:00"),
        ("3/20 * * * *", "2026-01-01 00:03", "2026-01-01 00:23"),
        ("@yearly", "2026-01-01 00:00", "2027-01-01 00:00"),
        ("@weekly", "2026-01-01 00:00", "2026-01-04 00:00"),
        ("@hourly", "2026-01-01 00:59", "2026-01-01 01:00"),
        ("@every 1h30m", "2026-01-01 00:00", "2026-01-01 01:30"),
    ],
)
def test_the_next_time(text, moment, following):
    assert shown(parse(text).after(at(moment), UTC)) == f"{following} +0000"


def test_a_day_that_never_comes():
    assert parse("0 0 31 2 *").after(at("2026-01-01"), UTC) is None
    assert parse("0 0 31 2 *").latest(0.0, at("2026-01-01"), UTC) is None


def test_a_clock_that_jumps_forward_skips_what_it_does_not_show():
    due = parse("30 2 * * *").after(at("2026-03-28 12:00", BERLIN), BERLIN)
    assert shown(due, BERLIN) == "2026-03-30 02:30 +0200"
    assert shown(parse("0 0 * * *").after(at("2026-03-08 12:00", HAVANA), HAVANA), HAVANA) == "2026-03-09 00:00 -0400"


def test_a_clock_that_goes_back_shows_an_hour_twice():
    twice = parse("30 2 * * *")
    first = twice.after(at("2026-10-25 00:00", BERLIN), BERLIN)
    second = twice.after(first, BERLIN)
    assert (shown(first, BERLIN), shown(second, BERLIN)) == ("2026-10-25 02:30 +0200", "2026-10-25 02:30 +0100")


@pytest.mark.parametrize("zone", [UTC, BERLIN, HAVANA, ZoneInfo("Australia/Lord_Howe")])
def test_the_latest_time_is_the_last_of_the_following_ones(zone):
    chance = random.Random(7)
    for text in ("*/7 * * * *", "10 */5 * * *", "0 0 1,15 * 3", "59 23 * * 0", "15 2 * * *"):
        start = at("2026-03-01") + chance.randrange(250 * 86_400)
        until = start + chance.randrange(20 * 86_400)
        moment, last = start, None
        while (moment := parse(text).after(moment, zone)) <= until:
            last = moment
        assert parse(text).latest(start, until, zone) == last


def test_an_interval_counts_from_its_beginning():
    every = parse("@every 90s")
    assert every.latest(1000.0, 1089.0, UTC) is None
    assert every.latest(1000.0, 1300.0, UTC) == 1270.0
    assert parse("@every 10ms").after(5.0, UTC) == 6.0
