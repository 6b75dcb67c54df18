"""
A Job's pod as its plan sees it: what the plan asks again and again, found out once for each version of a pod.

A Job of many pods is planned anew with every change of one of them, and most of its pods have not changed since.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tiphys.api.objects import annotations_of, condition_of, is_deleting, parse_timestamp, uid_of
from tiphys.api.pods import FINISHED, is_ready

Object = dict[str, Any]

FINALIZER = "batch.kubernetes.io/job-tracking"
COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"
FAILURE_COUNT = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURE_COUNT = "batch.kubernetes.io/job-index-ignored-failure-count"
NO_INDEX = -1


@dataclass(frozen=True, slots=True)
class View:
    """`is_tracked`: it has the finalizer, so it is not in the Job's counts for good yet."""

    pod: Object
    uid: str
    phase: str
    is_deleting: bool
    is_tracked: bool
    is_ready: bool
    index: int

    @property
    def is_succeeded(self) -> bool:
        return self.phase == "Succeeded"

    @property
    def is_active(self) -> bool:
        return not self.is_deleting and self.phase not in FINISHED

    @property
    def is_terminating(self) -> bool:
        return self.is_deleting and self.phase not in FINISHED


def view_of(pod: Object) -> View:
    """What a Job's plan sees of a pod."""
    return View(
        pod,
        uid_of(pod),
        (pod.get("status") or {}).get("phase") or "Pending",
        is_deleting(pod),
        FINALIZER in (pod["metadata"].get("finalizers") or ()),
        is_ready(pod),
        number_in(pod, COMPLETION_INDEX, NO_INDEX),
    )


def number_in(pod: Mapping[str, Any], annotation: str, otherwise: int = 0) -> int:
    """The number that an annotation holds; `otherwise` where it is missing or holds none."""
    text = annotations_of(pod).get(annotation, "")
    return int(text) if text.isascii() and text.isdigit() else otherwise


def replaces_failed_only(spec: Mapping[str, Any]) -> bool:
    """Whether a pod on its way out counts as failed, and is replaced, only when it has ended."""
    return spec.get("podReplacementPolicy") == "Failed" or spec.get("podFailurePolicy") is not None


def is_failed(view: View, spec: Mapping[str, Any]) -> bool:
    """Failed, or (unless only failed pods are replaced) on its way out: it may vanish before it tells how it ended."""
    if view.phase == "Failed":
        return True
    return view.is_deleting and not view.is_succeeded and not replaces_failed_only(spec)


def finished_at(pod: Mapping[str, Any]) -> float:
    """When it ended, in Unix seconds, as well as that can be known."""
    status = pod.get("status") or {}
    ends: list[str] = [
        ((container.get("state") or {}).get("terminated") or {}).get("finishedAt") or ""
        for container in status.get("containerStatuses") or ()
    ]
    if ends and all(ends):
        return max(parse_timestamp(end) for end in ends)
    ready = condition_of(pod, "Ready") or {}
    if ready.get("status") == "False" and ready.get("lastTransitionTime"):
        return parse_timestamp(ready["lastTransitionTime"])
    meta = pod["metadata"]
    if meta.get("deletionTimestamp"):
        return parse_timestamp(meta["deletionTimestamp"]) - int(meta.get("deletionGracePeriodSeconds") or 0)
    return parse_timestamp(meta["creationTimestamp"])
