"""
Decide which pods a Job makes, and when: the next indexes, after a pause that doubles with each failure. Pure.

The pause is read from the pods that failed since the last success, so it survives a restart of the controller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tiphys.api import resources
from tiphys.controllers.job import indexes
from tiphys.controllers.job.tally import Tally, attempts_of, indexes_of, is_ignored, is_indexed, to_be_replaced
from tiphys.controllers.job.view import (
    COMPLETION_INDEX,
    FAILURE_COUNT,
    FINALIZER,
    IGNORED_FAILURE_COUNT,
    View,
    finished_at,
    is_failed,
    number_in,
    replaces_failed_only,
)
from tiphys.reconcile.commands import Announce, Command, Create, Requeue
from tiphys.reconcile.ownership import owner_reference

Object = dict[str, Any]

PODS = resources.get("", "v1", "pods")

# A broken template should fail a few hundred times, not ten thousand.
CREATES_PER_PLAN_MAX = 500
BACKOFF_FIRST_SECONDS, BACKOFF_MAX_SECONDS = 10.0, 600.0
# What the server can add five random letters to.
GENERATE_NAME_MAX = 58
INDEX_VARIABLE = "JOB_COMPLETION_INDEX"


def missing(job: Object, counts: Tally) -> int:
    """How many pods more it shall run now; negative when it runs too many."""
    spec = job["spec"]
    completions, active = spec.get("completions"), len(counts.active)
    wanted = spec["parallelism"]
    if completions is not None:
        wanted = max(min(wanted, completions - counts.succeeded), 0)
    elif counts.succeeded:
        wanted = active
    if wanted > active and replaces_failed_only(spec):
        return max(int(wanted) - active - counts.terminating, 0)
    return int(wanted) - active


def creations(job: Object, counts: Tally, now: float) -> list[Command]:
    """The pods that are missing, or when to look again."""
    count = min(missing(job, counts), CREATES_PER_PLAN_MAX)
    if count <= 0:
        return []
    if counts.failed_indexes is None:
        pause = pause_of(job, counts.pods, now)
        if pause > 0:
            return [Requeue(pause)]
    if not is_indexed(job):
        return [_create(job, new_pod(job))] * count
    return _indexed_creations(job, counts, count, now)


def _indexed_creations(job: Object, counts: Tally, count: int, now: float) -> list[Command]:
    before = to_be_replaced(job, counts)
    created: list[Command] = []
    pauses = []
    for index in indexes.first_missing(_taken(job, counts), count, int(job["spec"]["completions"])):
        failed = before.get(index)
        pause = 0.0
        if failed is not None:
            pause = _left(attempts_of(failed.pod) + 1, finished_at(failed.pod), now)
        if pause > 0:
            pauses.append(pause)
        else:
            created.append(_create(job, new_pod(job, index, failed)))
    return [*created, Requeue(min(pauses))] if pauses else created


def _taken(job: Object, counts: Tally) -> indexes.Intervals:
    """Indexes that no pod is made for now."""
    working: Iterable[View] = counts.active
    if replaces_failed_only(job["spec"]):
        working = [view for view in counts.pods if view.is_active or view.is_terminating]
    done = [*counts.succeeded_indexes, *(counts.failed_indexes or ()), *indexes_of(working)]
    return indexes.union(done)


def pause_of(job: Object, pods: Sequence[View], now: float) -> float:
    """Seconds until the next pod may be made after failures; none after a success."""
    failures = [finished_at(view.pod) for view in pods if is_failed(view, job["spec"])]
    if not failures:
        return 0.0
    success = max((finished_at(view.pod) for view in pods if view.is_succeeded), default=0.0)
    since = [moment for moment in failures if moment > success]
    return _left(len(since), max(since), now) if since else 0.0


def _left(failures: int, last: float, now: float) -> float:
    pause = min(BACKOFF_FIRST_SECONDS * 2.0 ** min(failures - 1, 30), BACKOFF_MAX_SECONDS)
    return max(last + pause - now, 0.0)


def _create(job: Object, pod: Object) -> Create:
    announce = Announce(job, "SuccessfulCreate", "Created pod: {name}", "FailedCreate", "Error creating: {error}")
    return Create(PODS, pod, announce=announce)


def new_pod(job: Object, index: int | None = None, failed: View | None = None) -> Object:
    """A pod from the template; `failed` is the one of the same index that it replaces."""
    meta, template = job["metadata"], job["spec"]["template"]
    held, spec = template.get("metadata") or {}, template["spec"]
    suffix = "-" if index is None else f"-{index}-"
    pod_meta: Object = {
        "generateName": meta["name"][: GENERATE_NAME_MAX - len(suffix)] + suffix,
        "namespace": meta["namespace"],
        "ownerReferences": [owner_reference(job)],
        "finalizers": [*(name for name in held.get("finalizers") or () if name != FINALIZER), FINALIZER],
        "labels": dict(held.get("labels") or {}),
        "annotations": dict(held.get("annotations") or {}),
    }
    if index is not None:
        pod_meta["labels"][COMPLETION_INDEX] = pod_meta["annotations"][COMPLETION_INDEX] = str(index)
        pod_meta["annotations"] |= _failure_counts(job, failed)
        spec = {**_with_variable(spec), "hostname": f"{meta['name']}-{index}"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": pod_meta, "spec": spec}


def _failure_counts(job: Object, failed: View | None) -> dict[str, str]:
    """With backoffLimitPerIndex a pod knows how many of its index failed before it."""
    if job["spec"].get("backoffLimitPerIndex") is None:
        return {}
    if failed is None:
        return {FAILURE_COUNT: "0"}
    ignored, counted = number_in(failed.pod, IGNORED_FAILURE_COUNT), number_in(failed.pod, FAILURE_COUNT)
    if is_ignored(job, failed):
        ignored += 1
    else:
        counted += 1
    return {FAILURE_COUNT: str(counted), **({IGNORED_FAILURE_COUNT: str(ignored)} if ignored else {})}


def _with_variable(spec: Mapping[str, Any]) -> Object:
    """Every container learns its index, unless it has a variable of that name."""
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{COMPLETION_INDEX}']"}}
    variable = {"name": INDEX_VARIABLE, "valueFrom": source}

    def told(container: Mapping[str, Any]) -> Mapping[str, Any]:
        environment = container.get("env") or []
        if any(held["name"] == INDEX_VARIABLE for held in environment):
            return container
        return {**container, "env": [*environment, variable]}

    parts = [part for part in ("initContainers", "containers") if spec.get(part)]
    return {**spec, **{part: [told(container) for container in spec[part]] for part in parts}}
