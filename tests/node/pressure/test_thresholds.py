"""When a machine is short of something."""

import pytest

from tiphys.node.pressure import thresholds as t
from tiphys.node.pressure.thresholds import HOLD_SECONDS, Judgement, Observation, judge, parse

LOW = {t.MEMORY: Observation(50 << 20, 8 << 30)}
ENOUGH = {t.MEMORY: Observation(4 << 30, 8 << 30)}


def test_amounts_and_shares_are_read_memory_first():
    found = parse("nodefs.available<10%,memory.available<100Mi")
    assert [one.signal for one in found] == [t.MEMORY, t.NODE_BYTES]
    assert found[0].amount(8 << 30) == 100 << 20 and found[1].amount(1000) == 100


@pytest.mark.parametrize(
    ("rules", "word"),
    [("memory<1Mi", "signals are"), ("memory.available<x", "no quantity"), ("nodefs.available<120%", "between"),
     ("memory.available", "write it like")],
)  # fmt: skip
def test_what_is_no_threshold_is_refused_with_the_cure(rules, word):
    with pytest.raises(ValueError, match=word):
        parse(rules)


def test_a_soft_threshold_needs_its_grace_period():
    with pytest.raises(ValueError, match="needs a grace period"):
        parse("", "memory.available<1Gi")
    assert parse("", "memory.available<1Gi", "memory.available=90s")[0].grace_seconds == 90


def test_a_hard_threshold_acts_at_once_and_its_pressure_stays_a_while():
    rules = parse("memory.available<100Mi")
    met = judge(rules, LOW, Judgement(), 100)
    assert list(met.acting) == list(rules) and met.pressures == {"memory"}
    over = judge(rules, ENOUGH, met, 101)
    assert not over.acting and over.pressures == {"memory"}
    assert judge(rules, ENOUGH, over, 101 + HOLD_SECONDS) == Judgement()


def test_a_soft_threshold_acts_when_it_was_met_for_its_grace_period():
    rules = parse("", "memory.available<100Mi", "memory.available=60s")
    first = judge(rules, LOW, Judgement(), 100)
    assert first.pressures == {"memory"} and not first.acting
    assert judge(rules, LOW, first, 160).acting
    again = judge(rules, LOW, judge(rules, ENOUGH, first, 130), 160)
    assert not again.acting, "it was not met all the time"


def test_what_could_not_be_observed_judges_nothing():
    assert judge(parse(t.DEFAULT_HARD), {}, Judgement(), 1) == Judgement()


def test_hard_thresholds_are_kept_from_pods_and_soft_ones_are_not():
    rules = parse("memory.available<100Mi", "memory.available<1Gi", "memory.available=1")
    assert t.reserved(rules, t.MEMORY, 8 << 30) == 100 << 20 and t.reserved(rules, t.NODE_BYTES, 8) == 0
