"""
Decide what a Job needs next.

Pure: the Job, its pods and the time go in. The order of the commands is what keeps the counts exact (`tally.py`): first
the status, then the finalizers that it allows to remove, then pods to delete and to create. Whatever fails stops the
rest, and the next plan starts from what is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import is_deleting, key_of, uid_of
from tiphys.client.client import STRATEGIC_PATCH
from tiphys.controllers.job import status as told
from tiphys.controllers.job.new_pods import PODS, creations
from tiphys.controllers.job.removals import surplus
from tiphys.controllers.job.tally import UNCOUNTED_MAX, Tally, in_range, is_ignored, is_indexed, tally, to_be_replaced
from tiphys.controllers.job.verdict import FAILURE, Verdict, is_finished, seconds_to_deadline, verdict_of
from tiphys.controllers.job.view import FINALIZER, View, is_failed
from tiphys.reconcile.commands import Announce, Command, Delete, Patch, Requeue, Update

Object = dict[str, Any]

JOBS = resources.get("batch", "v1", "jobs")
CONTROLLER = "kubernetes.io/job-controller"


def is_managed_elsewhere(job: Object) -> bool:
    """Another controller has taken the Job over."""
    return job["spec"].get("managedBy", CONTROLLER) != CONTROLLER


def plan(job: Object, pods: Sequence[View], now: float) -> list[Command]:
    """One step of a Job towards its end."""
    if is_finished(job) or is_managed_elsewhere(job):
        return []
    counts = tally(job, pods)
    verdict = verdict_of(job, counts, now)
    doomed = _doomed(job, counts, verdict)
    lists, waiting = _lists(job, counts, verdict)
    status = told.status_of(job, counts, lists, doomed)
    told.begin(job, status, now)
    events = told.pause_or_resume(job, status, now) if verdict is None else _ending(job, status, verdict, now)
    commands: list[Command] = []
    if status != (job.get("status") or {}):
        commands = [Update(JOBS, {**job, "status": status}, "status"), *events]
    freed = _freed(job, counts, verdict, {*lists[0], *lists[1]})
    if verdict is None:
        freed |= {view.uid for view in doomed}
    commands += [release(view.pod) for view in pods if view.is_tracked and view.uid in freed - waiting]
    commands += _deletes(job, doomed)
    if verdict is None and not is_deleting(job) and not job["spec"].get("suspend"):
        commands += [] if doomed else creations(job, counts, now)
        left = seconds_to_deadline({**job, "status": status}, now)
        commands += [] if left is None else [Requeue(left)]
    return commands


def release(pod: Object) -> Patch:
    """Take the finalizer off a pod."""
    meta = {"uid": uid_of(pod), "$deleteFromPrimitiveList/finalizers": [FINALIZER]}
    return Patch(PODS, key_of(pod), {"metadata": meta}, media_type=STRATEGIC_PATCH)


def _doomed(job: Object, counts: Tally, verdict: Verdict | None) -> Sequence[View]:
    """The pods that are deleted now."""
    if verdict is not None:
        return counts.active
    if is_deleting(job):
        return ()
    return counts.active if job["spec"].get("suspend") else surplus(job, counts)


def _lists(job: Object, counts: Tally, verdict: Verdict | None) -> tuple[tuple[list[str], list[str]], set[str]]:
    """
    The uids of `status.uncountedTerminatedPods`, succeeded and failed, and those for which there is no room yet.

    When the Job has failed, what still runs counts as failed, too.
    """
    succeeded, failed = list(counts.uncounted_succeeded), list(counts.uncounted_failed)
    waiting: set[str] = set()
    fresh_failed = list(counts.new_failed)
    if verdict is not None and verdict.kind == FAILURE:
        known = {*succeeded, *failed, *(view.uid for view in fresh_failed)}
        fresh_failed += [view for view in counts.pods if view.uid not in known and _is_cut_short(job, view)]
    new_succeeded: Iterable[View] = () if is_indexed(job) else counts.new_succeeded
    for views, uids in ((new_succeeded, succeeded), (fresh_failed, failed)):
        for view in views:
            if len(succeeded) + len(failed) < UNCOUNTED_MAX:
                uids.append(view.uid)
            else:
                waiting.add(view.uid)
    return (succeeded, failed), waiting


def _is_cut_short(job: Object, view: View) -> bool:
    return view.is_tracked and not view.is_succeeded and in_range(job, view) and not is_ignored(job, view)


def _ending(job: Object, status: Object, verdict: Verdict, now: float) -> list[Command]:
    """Say why it ends; once that is stored and no pod is left to wait for, that it has. Changes `status`."""
    before = job.get("status") or {}
    if not any(c["type"] == verdict.kind and c["status"] == "True" for c in before.get("conditions") or ()):
        told.announce_end(status, verdict, now)
        return []
    over = not (status.get("active") or status["terminating"] or status["uncountedTerminatedPods"])
    return told.end(job, status, verdict, now) if over else []


def _freed(job: Object, counts: Tally, verdict: Verdict | None, listed: set[str]) -> set[str]:
    """The pods whose finalizer has done its work once the status is written."""
    tracked = [view for view in counts.pods if view.is_tracked]
    if verdict is not None or is_deleting(job):
        return {view.uid for view in tracked}
    needed = {view.uid for view in to_be_replaced(job, counts).values()}
    freed = set()
    for view in tracked:
        is_counted = view.uid in listed or (view.is_succeeded and is_indexed(job))
        is_nobodys = is_failed(view, job["spec"]) and (not in_range(job, view) or is_ignored(job, view))
        if (is_counted or is_nobodys) and view.uid not in needed:
            freed.add(view.uid)
    return freed


def _deletes(job: Object, doomed: Sequence[View]) -> list[Command]:
    announce = Announce(job, "SuccessfulDelete", "Deleted pod: {name}", "FailedDelete", "Error deleting: {error}")
    return [Delete(PODS, key_of(view.pod), view.uid, announce=announce) for view in doomed]
