"""Decide when a finished Job is deleted: `ttlSecondsAfterFinished` after its end. Pure."""

from __future__ import annotations

from typing import Any

from tiphys.api import resources
from tiphys.api.objects import condition_of, is_deleting, key_of, parse_timestamp, uid_of
from tiphys.reconcile.commands import Command, Delete, Requeue

Object = dict[str, Any]

JOBS = resources.get("batch", "v1", "jobs")


def plan(job: Object, now: float) -> list[Command]:
    """Delete the Job with its pods, or come again when its time is over."""
    ttl, end = job["spec"].get("ttlSecondsAfterFinished"), finished_at(job)
    if ttl is None or end is None or is_deleting(job):
        return []
    left = end + ttl - now
    if left > 0:
        return [Requeue(left)]
    return [Delete(JOBS, key_of(job), uid_of(job), propagation="Foreground")]


def finished_at(job: Object) -> float | None:
    """When it completed or failed; None if it goes on."""
    for kind in ("Complete", "Failed"):
        condition = condition_of(job, kind)
        if condition is not None and condition["status"] == "True" and condition.get("lastTransitionTime"):
            return parse_timestamp(condition["lastTransitionTime"])
    return None
