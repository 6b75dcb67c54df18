"""
Count a Job's pods so that none is counted twice or lost, whatever dies in between. Pure.

A pod of a Job has a finalizer, so it stays until the Job has counted it. Three steps, each a write of its own:

1. an ended pod's uid goes into `status.uncountedTerminatedPods`;
2. its finalizer is removed;
3. when the pod is seen without the finalizer (or is gone), its uid leaves that list and the number goes up, in one
   write.

A crash before 1 changes nothing; between 1 and 2 the uid says that the pod is in the list already; between 2 and 3 the
list says that the number is still to go up. An Indexed Job's successes need no list: their indexes tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.controllers.job import indexes
from tiphys.controllers.job.indexes import Intervals
from tiphys.controllers.job.policies import FAIL_INDEX, IGNORE, failure_action
from tiphys.controllers.job.view import FAILURE_COUNT, IGNORED_FAILURE_COUNT, View, is_failed, number_in

Object = dict[str, Any]

# Uids in the status at once: some 20 KB of them. The rest is counted when these have left it.
UNCOUNTED_MAX = 500


@dataclass(frozen=True, slots=True)
class Tally:
    """
    Everything that is known about a Job's pods.

    `new_succeeded` and `new_failed` are ended pods that the status does not know yet; `succeeded` and `failed` are the
    numbers with all of them in. `counted_*` are the status's numbers once uids whose pods were released left its list,
    and `uncounted_*` the uids that stay. `failed_indexes` is None without backoffLimitPerIndex.
    """

    pods: Sequence[View]
    active: Sequence[View]
    ready: int
    terminating: int
    counted_succeeded: int
    counted_failed: int
    uncounted_succeeded: tuple[str, ...]
    uncounted_failed: tuple[str, ...]
    new_succeeded: Sequence[View]
    new_failed: Sequence[View]
    succeeded: int
    failed: int
    succeeded_indexes: Intervals
    failed_indexes: Intervals | None


def is_indexed(job: Object) -> bool:
    """Whether its pods have completion indexes."""
    return bool(job["spec"].get("completionMode") == "Indexed")


def counts_per_index(job: Object) -> bool:
    """Whether failures are limited for each index."""
    return is_indexed(job) and job["spec"].get("backoffLimitPerIndex") is not None


def in_range(job: Object, view: View) -> bool:
    """Whether the pod stands for something: in an Indexed Job, for one of the indexes."""
    return not is_indexed(job) or 0 <= view.index < int(job["spec"]["completions"])


def tally(job: Object, pods: Sequence[View]) -> Tally:
    """Sort and count."""
    spec, status = job["spec"], job.get("status") or {}
    listed = status.get("uncountedTerminatedPods") or {}
    tracked = [view for view in pods if view.is_tracked]
    held = {view.uid for view in tracked}
    listed_succeeded, listed_failed = listed.get("succeeded") or (), listed.get("failed") or ()
    uncounted_succeeded, uncounted_failed = _kept(listed_succeeded, held), _kept(listed_failed, held)
    known = {*uncounted_succeeded, *uncounted_failed}
    fresh = [view for view in tracked if view.uid not in known and in_range(job, view)]
    new_succeeded = [view for view in fresh if view.is_succeeded]
    new_failed = [view for view in fresh if is_failed(view, spec) and not is_ignored(job, view)]
    counted_succeeded = status.get("succeeded", 0) + len(listed_succeeded) - len(uncounted_succeeded)
    counted_failed = status.get("failed", 0) + len(listed_failed) - len(uncounted_failed)
    succeeded_indexes = _succeeded_indexes(job, tracked)
    active = [view for view in pods if view.is_active]
    succeeded = counted_succeeded + len(uncounted_succeeded) + len(new_succeeded)
    return Tally(
        pods=pods,
        active=active,
        ready=sum(view.is_ready for view in active),
        terminating=sum(view.is_terminating for view in pods),
        counted_succeeded=counted_succeeded,
        counted_failed=counted_failed,
        uncounted_succeeded=uncounted_succeeded,
        uncounted_failed=uncounted_failed,
        new_succeeded=new_succeeded,
        new_failed=new_failed,
        succeeded=indexes.total(succeeded_indexes) if is_indexed(job) else succeeded,
        failed=counted_failed + len(uncounted_failed) + len(new_failed),
        succeeded_indexes=succeeded_indexes,
        failed_indexes=_failed_indexes(job, tracked) if counts_per_index(job) else None,
    )


def is_ignored(job: Object, view: View) -> bool:
    """Whether the podFailurePolicy says that this failure is none of the Job's."""
    return "podFailurePolicy" in job["spec"] and failure_action(job["spec"], view.pod).action == IGNORE


def _kept(uids: Iterable[str], held: set[str]) -> tuple[str, ...]:
    return tuple(uid for uid in uids if uid in held)


def _succeeded_indexes(job: Object, tracked: Sequence[View]) -> Intervals:
    if not is_indexed(job):
        return ()
    completions = int(job["spec"]["completions"])
    before = indexes.parse((job.get("status") or {}).get("completedIndexes") or "", completions)
    return indexes.with_indexes(before, (v.index for v in tracked if v.is_succeeded and in_range(job, v)))


def _failed_indexes(job: Object, tracked: Sequence[View]) -> Intervals:
    completions = int(job["spec"]["completions"])
    before = indexes.parse((job.get("status") or {}).get("failedIndexes") or "", completions)
    return indexes.with_indexes(before, (v.index for v in tracked if in_range(job, v) and _ends_index(job, v)))


def _ends_index(job: Object, view: View) -> bool:
    """Whether its failure is the last that its index may have."""
    spec = job["spec"]
    if not is_failed(view, spec):
        return False
    action = failure_action(spec, view.pod).action
    if action == FAIL_INDEX:
        return True
    return action != IGNORE and number_in(view.pod, FAILURE_COUNT) >= int(spec["backoffLimitPerIndex"])


def indexes_of(views: Iterable[View]) -> Intervals:
    """The indexes that these pods stand for."""
    return indexes.with_indexes((), (view.index for view in views if view.index >= 0))


def to_be_replaced(job: Object, counts: Tally) -> dict[int, View]:
    """
    For each index whose pod failed and has no successor yet: the pod whose failure count the successor takes over.

    Such a pod keeps its finalizer until then, because the count is in its annotations only.
    """
    if counts.failed_indexes is None:
        return {}
    settled = indexes_of(counts.active)
    latest: dict[int, View] = {}
    for view in counts.pods:
        if not view.is_tracked or not in_range(job, view) or not is_failed(view, job["spec"]):
            continue
        if any(indexes.has(done, view.index) for done in (settled, counts.succeeded_indexes, counts.failed_indexes)):
            continue
        held = latest.get(view.index)
        if held is None or attempts_of(view.pod) > attempts_of(held.pod):
            latest[view.index] = view
    return latest


def attempts_of(pod: Object) -> int:
    """How many pods of its index failed before it, ignored failures included."""
    return number_in(pod, FAILURE_COUNT) + number_in(pod, IGNORED_FAILURE_COUNT)
