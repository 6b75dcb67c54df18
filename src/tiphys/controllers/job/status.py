"""A Job's status: its numbers, its times and its conditions. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiphys.api.objects import condition_of, is_deleting, timestamp
from tiphys.controllers.job import indexes
from tiphys.controllers.job.tally import Tally, is_indexed
from tiphys.controllers.job.verdict import COMPLETE, SUCCESS, Verdict
from tiphys.controllers.job.view import View
from tiphys.reconcile.commands import Command, Say

Object = dict[str, Any]

SUSPENDED = "Suspended"


def status_of(job: Object, counts: Tally, lists: tuple[list[str], list[str]], doomed: Sequence[View]) -> Object:
    """
    The numbers; conditions and times stay as they are.

    `lists` are the uids of succeeded and failed pods that stay uncounted or become so, `doomed` the pods that are
    deleted when this is written.
    """
    status = dict(job.get("status") or {})
    for name, count in (
        ("active", len(counts.active) - len(doomed)),
        ("succeeded", counts.succeeded if is_indexed(job) else counts.counted_succeeded),
        ("failed", counts.counted_failed),
    ):
        status.pop(name, None)
        if count:
            status[name] = count
    status["ready"] = counts.ready - sum(view.is_ready for view in doomed)
    status["terminating"] = counts.terminating + len(doomed)
    parts = zip(("succeeded", "failed"), lists, strict=True)
    status["uncountedTerminatedPods"] = {name: uids for name, uids in parts if uids}
    if is_indexed(job):
        status.pop("completedIndexes", None)
        if counts.succeeded_indexes:
            status["completedIndexes"] = indexes.text_of(counts.succeeded_indexes)
        if counts.failed_indexes is not None:
            status["failedIndexes"] = indexes.text_of(counts.failed_indexes)
    return status


def begin(job: Object, status: Object, now: float) -> None:
    """The first start, if it may. Changes `status`."""
    if status.get("startTime") is None and not job["spec"].get("suspend"):
        status["startTime"] = timestamp(now)


def pause_or_resume(job: Object, status: Object, now: float) -> list[Command]:
    """Bring the Suspended condition up to date; the events that tell of a change. Changes `status`."""
    suspend = bool(job["spec"].get("suspend"))
    held = condition_of(job, SUSPENDED)
    if is_deleting(job) or suspend == (held is not None and held["status"] == "True"):
        return []
    if suspend:
        # The clock of the deadline starts anew when the Job does.
        status.pop("startTime", None)
        _set(status, SUSPENDED, ("True", "JobSuspended", "Job suspended"), now)
        return [Say(job, "Normal", "Suspended", "Job suspended")]
    status["startTime"] = timestamp(now)
    _set(status, SUSPENDED, ("False", "JobResumed", "Job resumed"), now)
    return [Say(job, "Normal", "Resumed", "Job resumed")]


def announce_end(status: Object, verdict: Verdict, now: float) -> None:
    """Say why the Job will end. Changes `status`."""
    _set(status, verdict.kind, ("True", verdict.reason, verdict.message), now)


def end(job: Object, status: Object, verdict: Verdict, now: float) -> list[Command]:
    """Close the Job; the events that tell of it. Changes `status`."""
    _set(status, verdict.final, ("True", verdict.reason, verdict.message), now)
    if verdict.kind != SUCCESS:
        return [Say(job, "Warning", verdict.reason, verdict.message)]
    assert verdict.final == COMPLETE
    status["completionTime"] = timestamp(now)
    events: list[Command] = []
    completions = job["spec"].get("completions")
    if completions is not None and status.get("succeeded", 0) > completions:
        text = "Too many succeeded pods running after completion count reached"
        events.append(Say(job, "Warning", "TooManySucceededPods", text))
    return [*events, Say(job, "Normal", "Completed", "Job completed")]


def _set(status: Object, kind: str, told: tuple[str, str, str], now: float) -> None:
    value, reason, message = told
    condition = {
        "type": kind, "status": value, "lastProbeTime": timestamp(now), "lastTransitionTime": timestamp(now),
        "reason": reason, "message": message,
    }  # fmt: skip
    held = status.get("conditions") or []
    if any(each["type"] == kind for each in held):
        status["conditions"] = [condition if each["type"] == kind else each for each in held]
    else:
        status["conditions"] = [*held, condition]
