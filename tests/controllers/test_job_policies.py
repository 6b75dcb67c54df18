"""What a Job's policies make of its pods' ends."""

import pytest

from job_builders import World, indexed, job
from tiphys.controllers.job.indexes import parse
from tiphys.controllers.job.policies import success_message


def on_exit(action, *codes, operator="In", **more):
    return {"action": action, "onExitCodes": {"operator": operator, "values": list(codes), **more}}


def policy(*rules):
    return {"rules": list(rules)}


TARGET = {"type": "DisruptionTarget", "status": "True"}
ON_DISRUPTION = {"action": "Ignore", "onPodConditions": [TARGET]}


def failed(*rules, code=1, **status):
    world = World(job(completions=1, podFailurePolicy=policy(*rules), backoffLimit=0)).settle()
    world.ends("p0", "Failed", code, **status)
    return world.settle()


def test_a_fatal_exit_code_fails_the_job():
    world = failed(on_exit("FailJob", 42), code=42)
    (condition, *_) = world.job["status"]["conditions"]
    assert (
        condition["message"] == "Container c for pod shop/p0 failed with exit code 42 matching FailJob rule at index 0"
    )
    assert world.conditions() == {"FailureTarget": "PodFailurePolicy", "Failed": "PodFailurePolicy"}


def test_an_ignored_failure_is_no_failure():
    world = failed(ON_DISRUPTION, conditions=[TARGET])
    assert (world.numbers("failed"), world.conditions()) == ((None,), {})
    assert world.pods["p0"]["metadata"]["finalizers"] == []
    world.now += 10
    assert len(world.settle().active()) == 1


def test_the_first_rule_that_matches_counts():
    world = failed(on_exit("Count", 42), on_exit("FailJob", 42), code=42)
    assert world.conditions()["Failed"] == "BackoffLimitExceeded"


@pytest.mark.parametrize(
    ("rule", "code", "matches"),
    [
        (on_exit("FailJob", 1, 2), 2, True),
        (on_exit("FailJob", 1, 2), 3, False),
        (on_exit("FailJob", 1, 2, operator="NotIn"), 3, True),
        (on_exit("FailJob", 1, operator="NotIn"), 1, False),
        (on_exit("FailJob", 1, containerName="c"), 1, True),
        (on_exit("FailJob", 1, containerName="other"), 1, False),
        ({"action": "FailJob", "onPodConditions": [{"type": "X", "status": "False"}]}, 1, False),
    ],
)
def test_rules_name_codes_containers_and_conditions(rule, code, matches):
    reason = "PodFailurePolicy" if matches else "BackoffLimitExceeded"
    assert failed(rule, code=code).conditions()["Failed"] == reason


@pytest.mark.parametrize(
    ("rule", "succeeded", "met"),
    [
        ({"succeededIndexes": "0,2"}, "0-1", False),
        ({"succeededIndexes": "0,2"}, "0,2", True),
        ({"succeededCount": 2}, "3", False),
        ({"succeededCount": 2}, "1,3", True),
        ({"succeededIndexes": "0-3", "succeededCount": 1}, "4", False),
        ({"succeededIndexes": "0-3", "succeededCount": 1}, "3", True),
    ],
)
def test_a_success_policy_asks_for_indexes_or_for_their_number(rule, succeeded, met):
    spec = {"completions": 5, "successPolicy": policy(rule)}
    assert bool(success_message(spec, parse(succeeded, 5))) == met


def test_a_job_that_has_succeeded_ends_its_other_pods_without_counting_them():
    world = World(indexed(3, successPolicy=policy({"succeededIndexes": "0"}))).settle()
    world.ends("p0")
    world.settle()
    assert (world.active(), world.conditions()) == ([], {"SuccessCriteriaMet": "SuccessPolicy"})
    world.ends("p1", "Failed", 143)
    world.ends("p2", "Failed", 143)
    assert world.settle().conditions()["Complete"] == "SuccessPolicy"
    assert world.numbers("succeeded", "failed", "completedIndexes") == (1, None, "0")
