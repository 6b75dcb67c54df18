"""Whether a pod of a new revision has failed, is still being watched, or is fine. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tiphys.api.objects import condition_of, name_of, parse_timestamp
from tiphys.api.own_annotations import RolloutPolicy
from tiphys.api.pods import is_ready, is_sidecar

Object = dict[str, Any]

# What a container waits for only when something is wrong with it. A moment of it may pass (a ConfigMap that comes a
# second later), so it counts once the pod is older than the monitor time.
STUCK = frozenset(
    ("CrashLoopBackOff", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError",
     "CreateContainerError", "RunContainerError")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """`failure` says how the pod failed, "" if it has not; `seconds` when to look again, 0 when nothing is awaited."""

    failure: str = ""
    seconds: float = 0.0


def judge(pod: Object, policy: RolloutPolicy, now: float) -> Verdict:
    """What is true of a pod that nobody has asked to go. One that was disrupted from outside has not failed."""
    if (condition_of(pod, "DisruptionTarget") or {}).get("status") == "True":
        return Verdict()
    name, status = name_of(pod), pod.get("status") or {}
    if status.get("phase") == "Failed":
        return Verdict(f"{name} failed: {status.get('reason') or 'its containers ended'}")
    for container, how in _early_ends(pod, policy.monitor_seconds):
        return Verdict(f"container {container} of {name} {how}")
    age = now - parse_timestamp(pod["metadata"]["creationTimestamp"])
    reason = next((why for why in _waits(pod) if why in STUCK), "")
    if reason and age >= policy.monitor_seconds:
        return Verdict(f"{name} waits: {reason}")
    if reason:
        return Verdict(seconds=policy.monitor_seconds - age)
    if is_ready(pod):
        return Verdict(seconds=max(_latest_start(pod, now) + policy.monitor_seconds - now, 0.0))
    if pod["spec"].get("schedulingGates"):
        return Verdict()
    if age >= policy.progress_seconds:
        return Verdict(f"{name} is not ready after {age:.0f} s")
    return Verdict(seconds=policy.progress_seconds - age)


def _statuses(pod: Object) -> Iterator[Mapping[str, Any]]:
    status = pod.get("status") or {}
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def _early_ends(pod: Object, monitor_seconds: float) -> Iterator[tuple[str, str]]:
    """(container, how) of those that ended within the monitor time. An init container may end well."""
    may_end = {c["name"] for c in pod["spec"].get("initContainers") or () if not is_sidecar(c)}
    for status in _statuses(pod):
        for moment in ("state", "lastState"):
            end = (status.get(moment) or {}).get("terminated")
            if end is None or (status["name"] in may_end and not end.get("exitCode")):
                continue
            seconds = _seconds(end)
            if seconds <= monitor_seconds:
                yield status["name"], f"ended with exit code {end.get('exitCode', 0)} after {seconds:.0f} s"


def _seconds(end: Mapping[str, Any]) -> float:
    """How long it ran; 0 when it never did."""
    if not end.get("startedAt") or not end.get("finishedAt"):
        return 0.0
    return parse_timestamp(end["finishedAt"]) - parse_timestamp(end["startedAt"])


def _waits(pod: Object) -> Iterator[str]:
    for status in _statuses(pod):
        waiting = (status.get("state") or {}).get("waiting")
        if waiting:
            yield waiting.get("reason", "")


def _latest_start(pod: Object, now: float) -> float:
    starts = [(status.get("state") or {}).get("running", {}).get("startedAt") for status in _statuses(pod)]
    return max((parse_timestamp(start) for start in starts if start), default=now)
