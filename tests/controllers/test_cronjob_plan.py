"""When a CronJob makes a Job, and what becomes of the ones that it made."""

import pytest

from builders import EPOCH, reference
from tiphys.api.objects import parse_timestamp, timestamp
from tiphys.controllers.cronjob.plan import SCHEDULED, plan
from tiphys.reconcile.commands import Create, Delete, Requeue, Say, Update

NOW = parse_timestamp(EPOCH)  # 08:00:00 on a Friday
MINUTE = 60.0


def cronjob(schedule="*/10 * * * *", status=None, **spec):
    meta = {"name": "tick", "namespace": "shop", "uid": "uid-tick", "creationTimestamp": EPOCH}
    template = {"metadata": {"labels": {"app": "tick"}}, "spec": {"template": {"spec": {}}}}
    full = {"schedule": schedule, "concurrencyPolicy": "Allow", "jobTemplate": template, **spec}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": meta, "spec": full, "status": status or {}}


def made(owner, at, end="", *, annotated=True):
    """A Job of that time, which may have ended."""
    name = f"tick-{int(at) // 60}"
    annotations = {SCHEDULED: timestamp(at)} if annotated else {}
    meta = {"name": name, "namespace": "shop", "uid": f"uid-{name}", "annotations": annotations}
    status = {"startTime": timestamp(at)}
    if end:
        status["conditions"] = [{"type": end, "status": "True"}]
        status |= {"completionTime": timestamp(at + 5)} if end == "Complete" else {}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {**meta, "ownerReferences": [reference(owner)]}}
    return {**job, "spec": {}, "status": status}


def reasons(commands):
    return [command.reason for command in commands if isinstance(command, Say)]


def status_of(commands):
    return next(command.object["status"] for command in commands if isinstance(command, Update))


def test_a_job_is_made_when_its_time_has_come():
    assert plan(cronjob(), [], NOW + 5 * MINUTE) == [Requeue(5 * MINUTE + 0.1)]
    create, later = plan(cronjob(), [], NOW + 10 * MINUTE)
    meta = create.object["metadata"]
    assert meta["name"] == f"tick-{int(NOW + 10 * MINUTE) // 60}"
    assert meta["annotations"] == {SCHEDULED: "2027-01-15T08:10:00Z"}
    assert (meta["labels"], meta["ownerReferences"]) == ({"app": "tick"}, [reference(cronjob())])
    assert later == Requeue(10 * MINUTE + 0.1)


def test_what_was_made_is_told_in_the_status():
    owner, at = cronjob(), NOW + 10 * MINUTE
    (update, later) = plan(owner, [made(owner, at)], at + 1)
    assert [active["name"] for active in update.object["status"]["active"]] == [f"tick-{int(at) // 60}"]
    assert update.object["status"]["lastScheduleTime"] == "2027-01-15T08:10:00Z"
    assert isinstance(later, Requeue)


def test_settled_means_no_commands():
    owner, at = cronjob(), NOW + 10 * MINUTE
    job = made(owner, at)
    settled = {**owner, "status": status_of(plan(owner, [job], at + 1))}
    assert [c for c in plan(settled, [job], at + 2) if not isinstance(c, Requeue)] == []
    assert plan({**settled, "spec": {**settled["spec"], "suspend": True}}, [job], at + 700) == []


def test_an_ended_job_is_no_longer_active():
    owner, at = cronjob(), NOW + 10 * MINUTE
    held = {**owner, "status": status_of(plan(owner, [made(owner, at)], at + 1))}
    commands = plan(held, [made(owner, at, "Complete")], at + 9)
    assert status_of(commands) == {"lastScheduleTime": timestamp(at), "lastSuccessfulTime": timestamp(at + 5)}
    assert [c.message for c in commands if isinstance(c, Say)] == [
        f"Saw completed job: tick-{int(at) // 60}, condition: Complete"
    ]


def test_a_job_that_vanished_is_missed():
    owner, at = cronjob(), NOW + 10 * MINUTE
    held = {**owner, "status": status_of(plan(owner, [made(owner, at)], at + 1))}
    commands = plan(held, [], at + 9)
    assert (status_of(commands), reasons(commands)) == ({"lastScheduleTime": timestamp(at)}, ["MissingJob"])


def test_a_job_of_somebody_else_is_complained_about_once():
    owner = cronjob()
    job = made(owner, NOW + 60, annotated=False)
    assert reasons(plan(owner, [job], NOW + 61)) == ["UnexpectedJob"]
    assert reasons(plan(owner, [job], NOW + 61, {"uid-" + job["metadata"]["name"]})) == []


@pytest.mark.parametrize(("policy", "kinds"), [("Forbid", [Say]), ("Replace", [Delete, Create]), ("Allow", [Create])])
def test_a_job_that_still_runs_stops_goes_or_stays(policy, kinds):
    owner = cronjob(concurrencyPolicy=policy)
    running = made(owner, NOW + 10 * MINUTE)
    owner["status"] = status_of(plan(owner, [running], NOW + 11 * MINUTE))
    commands = [c for c in plan(owner, [running], NOW + 20 * MINUTE) if not isinstance(c, Requeue | Update)]
    assert [type(command) for command in commands] == kinds


def test_the_oldest_ended_jobs_go():
    owner = cronjob(successfulJobsHistoryLimit=1, failedJobsHistoryLimit=0, suspend=True)
    jobs = [made(owner, NOW + n * MINUTE, end) for n, end in ((1, "Complete"), (2, "Complete"), (3, "Failed"))]
    gone = [c.key[1] for c in plan(owner, jobs, NOW + 300) if isinstance(c, Delete)]
    assert gone == [jobs[0]["metadata"]["name"], jobs[2]["metadata"]["name"]]


def test_only_the_last_missed_time_is_made_up_for():
    create, _ = plan(cronjob(), [], NOW + 35 * MINUTE)
    assert create.object["metadata"]["annotations"][SCHEDULED] == "2027-01-15T08:30:00Z"


def test_a_time_that_is_too_long_ago_is_let_be():
    owner = cronjob(startingDeadlineSeconds=60)
    assert plan(owner, [], NOW + 12 * MINUTE) == [Requeue(8 * MINUTE + 0.1)]
    assert isinstance(plan(owner, [], NOW + 10.5 * MINUTE)[0], Create)


def test_a_hundred_missed_times_are_a_warning():
    assert reasons(plan(cronjob("* * * * *"), [], NOW + 100 * MINUTE)) == []
    assert reasons(plan(cronjob("* * * * *"), [], NOW + 101 * MINUTE)) == ["TooManyMissedTimes"]
    assert reasons(plan(cronjob("* * * * *", startingDeadlineSeconds=90), [], NOW + 500 * MINUTE)) == []


def test_the_clock_is_that_of_the_time_zone():
    owner = cronjob("0 10 * * *", timeZone="Europe/Berlin")
    create, _ = plan(owner, [], NOW + 60 * MINUTE)
    assert create.object["metadata"]["annotations"][SCHEDULED] == "2027-01-15T10:00:00+01:00"


def test_a_zone_that_this_machine_does_not_know_is_told():
    assert reasons(plan(cronjob(timeZone="Mars/Olympus"), [], NOW + 700)) == ["UnknownTimeZone"]


def test_a_day_that_never_comes_starts_nothing():
    assert plan(cronjob("0 0 31 2 *"), [], NOW + 700) == []
