"""The phase of a pod, from the states of its containers, by the kubelet's rules. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.node.pod import spec

Object = dict[str, Any]
Statuses = Mapping[str, Object]

FINAL = ("Succeeded", "Failed")


def phase_of(pod: Mapping[str, Any], statuses: Sequence[Object], *, finished: bool, initialized: bool) -> str:
    """
    `finished`: everything has ended and nothing will be started again. `initialized`: the main containers have begun.

    While a finished pod still has to be torn down it shows as Running: Succeeded and Failed are final.
    """
    found = {status["name"]: status for status in statuses}
    pending, failed = _initialization(pod, found, initialized=initialized)
    if failed and spec.restart_policy(pod) == "Never":
        return "Failed" if finished else "Pending"
    if pending:
        return "Failed" if finished else "Pending"
    return _by_mains(pod, found, finished=finished)


def _initialization(pod: Mapping[str, Any], found: Statuses, *, initialized: bool) -> tuple[bool, bool]:
    """(something is still to be initialized, something failed)."""
    pending = failed = False
    for container in spec.init_containers(pod):
        status = found.get(container["name"], {"state": {}})
        state, last = status["state"], status.get("lastState") or {}
        if spec.is_sidecar(container):
            waiting = "running" in state and not status.get("started")
            waiting = waiting or ("terminated" not in state and "running" not in state and not last)
            pending = pending or (waiting and not initialized)
        elif "terminated" in state or "terminated" in last:
            ended = state.get("terminated") or last["terminated"]
            failed = failed or ended["exitCode"] != 0
            pending = pending or ("running" in state and not initialized)
        else:
            pending = pending or not initialized
    return pending, failed


def _by_mains(pod: Mapping[str, Any], found: Statuses, *, finished: bool) -> str:
    running = waiting = stopped = succeeded = 0
    for container in spec.main_containers(pod):
        status = found.get(container["name"], {"state": {}})
        state = status["state"]
        if "running" in state:
            running += 1
        elif "terminated" in state:
            stopped += 1
            succeeded += state["terminated"]["exitCode"] == 0
        elif status.get("lastState"):
            stopped += 1
        else:
            waiting += 1
    if finished:
        return "Succeeded" if stopped and stopped == succeeded and not waiting else "Failed"
    if waiting:
        return "Pending"
    return "Running"
