"""How a Job gets from its first pod to its end, and that its counts are exact wherever its controller dies."""

import random

import pytest

from job_builders import NOW, World, indexed, job
from tiphys.api.objects import timestamp
from tiphys.reconcile.commands import Create, Delete, Patch, Requeue, Update


def test_a_job_runs_to_its_end():
    world = World(job(completions=2, parallelism=2)).settle()
    assert world.numbers("active", "ready", "startTime") == (2, 0, timestamp(NOW))
    for name in world.active():
        world.ends(name)
    world.settle()
    assert world.conditions() == {"SuccessCriteriaMet": "CompletionsReached", "Complete": "CompletionsReached"}
    assert world.numbers("succeeded", "active", "completionTime") == (2, None, timestamp(NOW))
    assert world.events == ["Completed"]


def test_settled_means_no_commands():
    world = World(job(completions=1)).settle()
    assert world.plan() == []
    world.ends("p0")
    assert world.settle().plan() == []


def test_the_status_comes_first_then_finalizers_then_pods():
    world = World(job(completions=3, parallelism=2)).settle()
    world.ends("p0")
    kinds = [type(command) for command in world.plan()]
    assert kinds == [Update, Patch, Create]


def test_never_more_pods_than_are_still_needed():
    world = World(job(completions=5, parallelism=3)).settle()
    assert len(world.active()) == 3
    for name in world.active():
        world.ends(name)
    assert len(world.settle().active()) == 2


def test_without_completions_the_first_success_ends_it():
    world = World(job(parallelism=3)).settle()
    world.ends("p0")
    assert world.settle().created == 3
    assert world.conditions() == {}
    world.ends("p1")
    world.ends("p2", "Failed", 1)
    assert "Complete" in world.settle().conditions()


@pytest.mark.parametrize("seed", range(20))
def test_no_pod_is_counted_twice_or_lost_wherever_the_controller_dies(seed):
    chance = random.Random(seed)
    world = World(job(completions=12, parallelism=4, backoffLimit=1000))
    ended = {"Succeeded": 0, "Failed": 0}
    for _ in range(2000):
        if "Complete" in world.conditions():
            break
        if world.active() and chance.random() < 0.4:
            phase = chance.choice(("Succeeded", "Succeeded", "Failed"))
            world.ends(chance.choice(world.active()), phase, phase == "Failed")
            ended[phase] += 1
        world.now += chance.choice((0, 0, 700))
        world.step(at_most=chance.randrange(4))
    assert world.numbers("succeeded", "failed") == (ended["Succeeded"], ended["Failed"] or None)
    assert "Complete" in world.conditions()


def test_a_failure_makes_the_next_pod_wait_twice_as_long_each_time():
    world = World(job(completions=1)).settle()
    world.ends("p0", "Failed", 1)
    world.settle()
    assert world.waits() == [10.0]
    world.now += 10
    world.settle().ends("p1", "Failed", 1)
    assert world.settle().waits() == [20.0]
    assert world.numbers("failed") == (2,)


def test_a_success_ends_the_pause():
    world = World(job(completions=3, parallelism=2)).settle()
    world.ends("p0", "Failed", 1)
    world.now += 1
    world.ends("p1")
    assert len(world.settle().active()) == 2


def test_too_many_failures_fail_the_job():
    world = World(job(completions=2, parallelism=2, backoffLimit=0)).settle()
    world.ends("p0", "Failed", 1)
    world.settle()
    assert world.conditions() == {"FailureTarget": "BackoffLimitExceeded"}
    assert world.numbers("failed", "terminating") == (2, 1)
    world.ends("p1", "Failed", 1)
    assert world.settle().conditions()["Failed"] == "BackoffLimitExceeded"
    assert world.events == ["BackoffLimitExceeded"]


def test_restarts_in_a_pod_count_against_the_limit():
    world = World(job(restartPolicy="OnFailure", backoffLimit=2)).settle()
    world.pods["p0"]["status"] = {"phase": "Running", "containerStatuses": [{"name": "c", "restartCount": 2}]}
    world.settle()
    assert world.conditions() == {"FailureTarget": "BackoffLimitExceeded"}


def test_a_deadline_ends_what_takes_too_long():
    world = World(job(activeDeadlineSeconds=60)).settle()
    assert world.waits() == [60.0]
    world.now += 60
    world.settle().ends("p0", "Failed", 137)
    assert world.settle().conditions()["Failed"] == "DeadlineExceeded"


def test_a_suspended_job_loses_its_pods_and_no_counts():
    world = World(job(completions=2, parallelism=2)).settle()
    world.job["spec"]["suspend"] = True
    world.settle()
    assert world.active() == []
    assert world.conditions() == {"Suspended": "JobSuspended"}
    assert world.numbers("startTime", "active", "failed", "terminating") == (None, None, None, 2)
    world.ends("p0", "Failed", 143)
    world.ends("p1", "Failed", 143)
    world.settle()
    assert (world.pods, world.numbers("failed")) == ({}, (None,))


def test_a_resumed_job_starts_its_clock_anew():
    world = World(job(suspend=True, completions=1)).settle()
    assert (world.created, world.numbers("startTime")) == (0, (None,))
    world.job["spec"]["suspend"] = False
    world.now += 100
    world.settle()
    assert (world.created, world.numbers("startTime")) == (1, (timestamp(NOW + 100),))
    assert world.events == ["Suspended", "Resumed"]


def test_fewer_at_a_time_removes_pods_that_count_for_nothing():
    world = World(job(completions=9, parallelism=3)).settle()
    world.job["spec"]["parallelism"] = 1
    commands = world.plan()
    assert [type(command) for command in commands] == [Update, Patch, Patch, Delete, Delete]
    assert world.settle().numbers("active", "failed", "terminating") == (1, None, 2)


def test_a_pod_on_its_way_out_is_replaced_at_once():
    world = World(job(completions=1)).settle()
    world.delete("p0")
    world.step()
    assert world.numbers("failed", "terminating") == (None, 1)
    assert isinstance(world.plan()[-1], Requeue)
    world.now += 10
    assert len(world.settle().active()) == 1
    assert world.numbers("failed") == (1,)


def test_a_job_that_replaces_failed_pods_only_waits_for_the_end():
    world = World(job(completions=1, podReplacementPolicy="Failed")).settle()
    world.delete("p0")
    world.now += 100
    assert (world.settle().active(), world.numbers("failed", "terminating")) == ([], (None, 1))
    world.ends("p0", "Failed", 143)
    world.now += 100
    assert len(world.settle().active()) == 1
    assert world.numbers("failed") == (1,)


def test_a_job_on_its_way_out_lets_its_pods_go():
    world = World(job(completions=2, parallelism=2)).settle()
    world.job["metadata"]["deletionTimestamp"] = timestamp(NOW)
    world.settle()
    assert [pod["metadata"]["finalizers"] for pod in world.pods.values()] == [[], []]
    assert world.created == 2


def test_a_job_that_somebody_else_manages_is_left_alone():
    assert World(job(managedBy="acme.io/queue")).plan() == []
    assert World(job(managedBy="kubernetes.io/job-controller")).plan() != []


def test_no_completions_at_all_are_reached_at_once():
    assert World(job(completions=0)).settle().conditions()["Complete"] == "CompletionsReached"


def test_a_crowd_of_ended_pods_is_counted_in_portions():
    world = World(job(completions=1200, parallelism=600)).settle()
    for name in world.active():
        world.ends(name)
    world.step()
    assert len(world.job["status"]["uncountedTerminatedPods"]["succeeded"]) == 500
    while world.active() or world.step():
        for name in world.active():
            world.ends(name)
    assert world.numbers("succeeded") == (1200,)


def test_indexes_are_told_in_the_pod():
    world = World(indexed(3)).settle()
    meta, spec = world.pods["p1"]["metadata"], world.pods["p1"]["spec"]
    assert meta["generateName"] == "work-1-"
    assert meta["annotations"]["batch.kubernetes.io/job-completion-index"] == "1"
    assert meta["labels"]["batch.kubernetes.io/job-completion-index"] == "1"
    assert spec["hostname"] == "work-1"
    path = spec["containers"][0]["env"][0]["valueFrom"]["fieldRef"]["fieldPath"]
    assert path == "metadata.labels['batch.kubernetes.io/job-completion-index']"
