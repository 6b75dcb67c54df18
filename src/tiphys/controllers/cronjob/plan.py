"""
Decide what a CronJob needs next: a Job to create, old ones to delete, a status to write.

Pure. A Job's name is made of its scheduled minute, and so is the lock that keeps two from being made for one time. The
status is derived from the Jobs that are there: one that was created, and of which the status does not tell yet because
we died in between, is found by its annotation.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence, Set
from typing import Any

from tiphys.api import cron, resources
from tiphys.api.objects import (
    annotations_of,
    condition_of,
    is_deleting,
    key_of,
    name_of,
    namespace_of,
    parse_timestamp,
    revision_of,
    timestamp,
    uid_of,
)
from tiphys.controllers.cronjob.due import due, zone_of
from tiphys.reconcile.commands import Announce, Command, Create, Delete, Requeue, Say, Update
from tiphys.reconcile.ownership import owner_reference

Object = dict[str, Any]

CRON_JOBS = resources.get("batch", "v1", "cronjobs")
JOBS = resources.get("batch", "v1", "jobs")
SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
# A little after the minute, so that no clock is before it.
LATER_SECONDS = 0.1


def plan(cronjob: Object, jobs: Sequence[Object], now: float, told: Set[str] = frozenset()) -> list[Command]:
    """One step. `told` are the uids of unexpected Jobs that were complained about already."""
    status = dict(cronjob.get("status") or {})
    events = _follow(cronjob, status, jobs, told)
    deletes = _history(cronjob, jobs)
    starts = [] if is_deleting(cronjob) else _starts(cronjob, status, jobs, now)
    commands: list[Command] = []
    if status != (cronjob.get("status") or {}):
        commands.append(Update(CRON_JOBS, {**cronjob, "status": status}, "status"))
    return [*commands, *events, *deletes, *starts]


def finished_as(job: Object) -> str:
    """Complete, Failed, or "" while it goes on."""
    for kind in ("Complete", "Failed"):
        condition = condition_of(job, kind)
        if condition is not None and condition["status"] == "True":
            return kind
    return ""


# following the Jobs that there are


def _follow(cronjob: Object, status: Object, jobs: Sequence[Object], told: Set[str]) -> list[Command]:
    """Bring `status` up to date with the Jobs; the events that tell of changes."""
    active = {reference["uid"]: reference for reference in status.get("active") or ()}
    events: list[Command] = []
    for job in sorted(jobs, key=lambda job: (annotations_of(job).get(SCHEDULED, ""), name_of(job))):
        uid, end = uid_of(job), finished_as(job)
        if end and active.pop(uid, None) is not None:
            text = f"Saw completed job: {name_of(job)}, condition: {end}"
            events.append(Say(cronjob, "Normal", "SawCompletedJob", text))
        elif not end and uid not in active and not is_deleting(job):
            if SCHEDULED in annotations_of(job):
                active[uid] = _reference(job)
            elif uid not in told:
                text = f"Saw a job that the controller did not create or forgot: {name_of(job)}"
                events.append(Say(cronjob, "Warning", "UnexpectedJob", text))
        _note_times(status, job, end)
    there = {uid_of(job) for job in jobs}
    for uid, reference in list(active.items()):
        if uid not in there:
            del active[uid]
            events.append(Say(cronjob, "Normal", "MissingJob", f"Active job went missing: {reference['name']}"))
    status.pop("active", None)
    if active:
        status["active"] = list(active.values())
    return events


def _note_times(status: Object, job: Object, end: str) -> None:
    """The last scheduled time, and the last success. Changes `status`."""
    scheduled = annotations_of(job).get(SCHEDULED)
    if scheduled:
        _raise(status, "lastScheduleTime", timestamp(parse_timestamp(scheduled)))
    completed = (job.get("status") or {}).get("completionTime")
    if end == "Complete" and completed:
        _raise(status, "lastSuccessfulTime", completed)


def _raise(status: Object, field: str, moment: str) -> None:
    if parse_timestamp(moment) > parse_timestamp(status.get(field) or "1970-01-01T00:00:00Z"):
        status[field] = moment


def _reference(job: Object) -> Object:
    return {
        "apiVersion": "batch/v1", "kind": "Job", "namespace": namespace_of(job), "name": name_of(job),
        "uid": uid_of(job), "resourceVersion": revision_of(job),
    }  # fmt: skip


def _history(cronjob: Object, jobs: Iterable[Object]) -> list[Command]:
    """The oldest finished Jobs beyond what is kept."""
    ended = [job for job in jobs if not is_deleting(job) and finished_as(job)]
    commands: list[Command] = []
    for kind, limit in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
        most = cronjob["spec"].get(limit)
        if most is None:
            continue
        kept = sorted((job for job in ended if finished_as(job) == kind), key=_age)
        commands += [_delete(cronjob, job) for job in kept[: max(len(kept) - most, 0)]]
    return commands


def _age(job: Object) -> tuple[str, str]:
    return (job.get("status") or {}).get("startTime") or "", name_of(job)


def _delete(cronjob: Object, job: Object) -> Delete:
    announce = Announce(cronjob, "SuccessfulDelete", "Deleted job {name}", "FailedDelete", "Deleted job: {error}")
    return Delete(JOBS, key_of(job), uid_of(job), propagation="Background", announce=announce)


# making new ones


def _starts(cronjob: Object, status: Object, jobs: Sequence[Object], now: float) -> list[Command]:
    """The Job that is due, if one is, and when to look again. `status` has just been brought up to date."""
    spec = cronjob["spec"]
    zone_name = spec.get("timeZone") or ""
    try:
        zone = zone_of(zone_name)
    except ValueError as error:
        return [Say(cronjob, "Warning", "UnknownTimeZone", f'invalid timeZone: "{zone_name}": {error}')]
    if spec.get("suspend"):
        return []
    try:
        schedule = cron.parse(spec["schedule"])
    except ValueError as error:
        text = f'unparseable schedule: "{spec["schedule"]}" : {error}'
        return [Say(cronjob, "Warning", "UnparseableSchedule", text)]
    when = due({**cronjob, "status": status}, schedule, zone, now)
    commands: list[Command] = []
    if when.too_many:
        text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
        commands.append(Say(cronjob, "Warning", "TooManyMissedTimes", text))
    if when.missed is not None:
        commands += _start(cronjob, status, jobs, (when.missed, zone))
    if when.following is not None:
        commands.append(Requeue(when.following - now + LATER_SECONDS))
    return commands


def _start(
    cronjob: Object, status: Object, jobs: Sequence[Object], scheduled: tuple[float, datetime.tzinfo]
) -> list[Command]:
    """What the concurrency policy makes of a time that has come."""
    wanted = _new_job(cronjob, scheduled)
    if any(name_of(job) == wanted["metadata"]["name"] for job in jobs):
        return []
    running = status.get("active") or ()
    policy = cronjob["spec"].get("concurrencyPolicy", "Allow")
    if policy == "Forbid" and running:
        text = "Not starting job because prior execution is running and concurrency policy is Forbid"
        return [Say(cronjob, "Normal", "JobAlreadyActive", text)]
    commands: list[Command] = []
    if policy == "Replace" and running:
        ended = {reference["uid"] for reference in status.pop("active")}
        commands += [_delete(cronjob, job) for job in jobs if uid_of(job) in ended]
    announce = Announce(
        cronjob, "SuccessfulCreate", "Created job {name}", "FailedCreate", "Error creating job: {error}"
    )
    return [*commands, Create(JOBS, wanted, exists_ok=True, announce=announce)]


def _new_job(cronjob: Object, scheduled: tuple[float, datetime.tzinfo]) -> Object:
    moment, zone = scheduled
    template = cronjob["spec"]["jobTemplate"]
    held = template.get("metadata") or {}
    told = datetime.datetime.fromtimestamp(int(moment), zone).isoformat()
    meta = {
        "name": f"{name_of(cronjob)}-{int(moment) // 60}",
        "namespace": namespace_of(cronjob),
        "labels": dict(held.get("labels") or {}),
        "annotations": {**(held.get("annotations") or {}), SCHEDULED: told.replace("+00:00", "Z")},
        "ownerReferences": [owner_reference(cronjob)],
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": template["spec"]}
