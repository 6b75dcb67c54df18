"""
Decide whether a Job has ended, and how. Pure.

An end is told in two steps: first why it comes (`SuccessCriteriaMet`, `FailureTarget`), then, when no pod is left that
runs or is to be counted, that it came (`Complete`, `Failed`). The first is never taken back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tiphys.api.objects import condition_of, parse_timestamp
from tiphys.controllers.job import indexes
from tiphys.controllers.job.policies import FAIL_JOB, failure_action, success_message
from tiphys.controllers.job.tally import Tally, is_indexed
from tiphys.controllers.job.view import is_failed

Object = dict[str, Any]

SUCCESS, FAILURE = "SuccessCriteriaMet", "FailureTarget"
COMPLETE, FAILED = "Complete", "Failed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`kind` is SUCCESS or FAILURE."""

    kind: str
    reason: str
    message: str

    @property
    def final(self) -> str:
        """The condition that closes the Job."""
        return COMPLETE if self.kind == SUCCESS else FAILED


def is_finished(job: Mapping[str, Any]) -> bool:
    """Complete or Failed: nothing about it changes any more."""
    return finished_condition(job) is not None


def finished_condition(job: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The condition with which it ended, if it did."""
    for kind in (COMPLETE, FAILED):
        condition = condition_of(job, kind)
        if condition is not None and condition["status"] == "True":
            return condition
    return None


def verdict_of(job: Object, counts: Tally, now: float) -> Verdict | None:
    """The end that the status tells already, or the first reason to end."""
    for kind in (SUCCESS, FAILURE):
        told = condition_of(job, kind)
        if told is not None and told["status"] == "True":
            return Verdict(kind, told.get("reason", ""), told.get("message", ""))
    return _failure(job, counts, now) or _success(job, counts)


def _failure(job: Object, counts: Tally, now: float) -> Verdict | None:
    spec = job["spec"]
    message = _fails_job(job, counts)
    if message:
        return Verdict(FAILURE, "PodFailurePolicy", message)
    if counts.failed > spec["backoffLimit"] or _restarted_too_often(job, counts):
        return Verdict(FAILURE, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    left = seconds_to_deadline(job, now)
    if left is not None and left <= 0:
        return Verdict(FAILURE, "DeadlineExceeded", "Job was active longer than specified deadline")
    if counts.failed_indexes is None:
        return None
    lost, most = indexes.total(counts.failed_indexes), spec.get("maxFailedIndexes")
    if most is not None and lost > most:
        text = "Job has exceeded the specified maximal number of failed indexes"
        return Verdict(FAILURE, "MaxFailedIndexesExceeded", text)
    if lost and lost + counts.succeeded >= spec["completions"]:
        return Verdict(FAILURE, "FailedIndexes", "Job has failed indexes")
    return None


def _success(job: Object, counts: Tally) -> Verdict | None:
    spec = job["spec"]
    if is_indexed(job):
        message = success_message(spec, counts.succeeded_indexes)
        if message:
            return Verdict(SUCCESS, "SuccessPolicy", message)
    completions = spec.get("completions")
    # Without a number of completions the first success says that the work is done; the others may end theirs.
    enough = counts.succeeded > 0 if completions is None else counts.succeeded >= completions
    if enough and not counts.active:
        return Verdict(SUCCESS, "CompletionsReached", "Reached expected number of succeeded pods")
    return None


def _fails_job(job: Object, counts: Tally) -> str:
    """What the podFailurePolicy says about a pod whose failure is the whole Job's."""
    spec = job["spec"]
    if spec.get("podFailurePolicy") is None:
        return ""
    matches = (failure_action(spec, view.pod) for view in counts.pods if is_failed(view, spec))
    return next((match.message for match in matches if match.action == FAIL_JOB), "")


def _restarted_too_often(job: Object, counts: Tally) -> bool:
    """Containers that are started again in their pods count against the limit, too."""
    spec = job["spec"]
    if spec["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    restarts = sum(
        container.get("restartCount", 0)
        for view in counts.pods
        if view.phase in ("Pending", "Running")
        for part in ("initContainerStatuses", "containerStatuses")
        for container in (view.pod.get("status") or {}).get(part) or ()
    )
    return bool(restarts > 0 and restarts >= spec["backoffLimit"])


def seconds_to_deadline(job: Object, now: float) -> float | None:
    """How long it may still take; None where no clock runs."""
    spec, start = job["spec"], (job.get("status") or {}).get("startTime")
    if spec.get("activeDeadlineSeconds") is None or start is None or spec.get("suspend"):
        return None
    return parse_timestamp(start) + float(spec["activeDeadlineSeconds"]) - now
