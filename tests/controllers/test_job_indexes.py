"""Indexed Jobs: which indexes are done, which are tried again, and which are given up."""

import random

import pytest

from job_builders import World, indexed
from tiphys.controllers.job import indexes

INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
FAIL_INDEX = {"rules": [{"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [42]}}]}


@pytest.mark.parametrize("text", ["", "0", "0,1", "0-2", "1,3-5,7", "0,1,3-9,11,12"])
def test_sets_of_indexes_are_written_as_they_were_read(text):
    assert indexes.text_of(indexes.parse(text, 100)) == text


def test_indexes_beyond_the_end_are_forgotten():
    assert indexes.text_of(indexes.parse("0-4,7", 4)) == "0-3"


def test_membership_union_and_gaps_agree_with_plain_sets():
    chance = random.Random(1)
    for _ in range(200):
        left, right = ({n for n in range(12) if chance.random() < 0.5} for _ in range(2))
        a, b = (indexes.with_indexes((), numbers) for numbers in (left, right))
        assert [n for n in range(12) if indexes.has(a, n)] == sorted(left)
        assert indexes.total(indexes.union([*a, *b])) == len(left | right)
        assert indexes.common(a, b) == len(left & right)
        assert indexes.first_missing(a, 3, 12) == [n for n in range(12) if n not in left][:3]


def by_index(world, index):
    """The newest pod of an index."""
    return [n for n, pod in world.pods.items() if pod["metadata"]["annotations"][INDEX] == str(index)][-1]


def test_each_index_succeeds_once():
    world = World(indexed(3, parallelism=2)).settle()
    world.ends(by_index(world, 1))
    world.settle()
    assert world.numbers("completedIndexes", "succeeded") == ("1", 1)
    world.ends(by_index(world, 0))
    world.ends(by_index(world, 2))
    world.settle()
    assert world.numbers("completedIndexes", "succeeded") == ("0-2", 3)
    assert "Complete" in world.conditions()


def test_a_second_pod_of_an_index_is_removed():
    world = World(indexed(2)).settle()
    twin = {**world.pods["p0"], "metadata": {**world.pods["p0"]["metadata"], "name": "twin", "uid": "uid-twin"}}
    world.pods["twin"] = twin
    assert sorted(world.settle().active()) == ["p0", "p1"] or sorted(world.active()) == ["p1", "twin"]


@pytest.mark.parametrize("seed", range(10))
def test_indexes_are_exact_wherever_the_controller_dies(seed):
    chance = random.Random(seed)
    world = World(indexed(8, parallelism=3, backoffLimit=1000))
    done, failed = set(), 0
    for _ in range(2000):
        if world.active() and chance.random() < 0.4:
            name = chance.choice(world.active())
            index = int(world.pods[name]["metadata"]["annotations"][INDEX])
            phase = chance.choice(("Succeeded", "Failed"))
            world.ends(name, phase, phase == "Failed")
            done, failed = done | ({index} if phase == "Succeeded" else set()), failed + (phase == "Failed")
        world.now += chance.choice((0, 0, 700))
        world.step(at_most=chance.randrange(4))
    assert world.numbers("succeeded", "failed", "completedIndexes") == (8, failed or None, "0-7")
    assert done == set(range(8))


def test_an_index_is_tried_as_often_as_it_may_fail():
    world = World(indexed(2, backoffLimitPerIndex=1, backoffLimit=2**31 - 1)).settle()
    world.ends(by_index(world, 0), "Failed", 1)
    world.settle()
    assert world.waits() == [10.0]
    assert world.pods["p0"]["metadata"]["finalizers"] != []
    world.now += 10
    world.settle()
    assert world.pods[by_index(world, 0)]["metadata"]["annotations"][FAILURES] == "1"
    assert world.pods["p0"]["metadata"]["finalizers"] == []
    world.ends(by_index(world, 0), "Failed", 1)
    world.ends(by_index(world, 1))
    world.settle()
    assert world.numbers("failedIndexes", "completedIndexes", "failed") == ("0", "1", 2)
    assert world.conditions()["Failed"] == "FailedIndexes"


def test_too_many_failed_indexes_end_the_job():
    world = World(indexed(4, backoffLimitPerIndex=0, maxFailedIndexes=1, backoffLimit=2**31 - 1)).settle()
    world.ends(by_index(world, 0), "Failed", 1)
    assert world.settle().conditions() == {}
    world.ends(by_index(world, 2), "Failed", 1)
    world.settle()
    for name in ("p1", "p3"):
        world.ends(name, "Failed", 143)
    assert world.settle().conditions()["Failed"] == "MaxFailedIndexesExceeded"


def test_no_failed_index_is_told_as_such():
    assert World(indexed(1, backoffLimitPerIndex=1)).settle().numbers("failedIndexes") == ("",)


def test_a_rule_may_give_up_an_index_at_once():
    world = World(indexed(2, backoffLimitPerIndex=5, backoffLimit=99, podFailurePolicy=FAIL_INDEX)).settle()
    world.ends(by_index(world, 1), "Failed", 42)
    assert world.settle().numbers("failedIndexes") == ("1",)


def test_a_job_grows_and_shrinks_with_its_indexes():
    world = World(indexed(3)).settle()
    world.ends(by_index(world, 2))
    world.settle().job["spec"] |= {"completions": 2, "parallelism": 2}
    assert world.settle().numbers("completedIndexes", "succeeded") == (None, None)
    world.job["spec"] |= {"completions": 4, "parallelism": 4}
    assert len(world.settle().active()) == 4
