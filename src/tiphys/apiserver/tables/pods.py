"""
The cells of a pod: one line that says how far it came and why it stops there.

The status follows the containers in the order in which they matter: a failed init container hides the others, the first
container with a reason hides the phase, and a pod that is being deleted says only that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tiphys.apiserver.tables.words import NONE, Object, age, condition, since

_ENDED = {
    "Succeeded": {
        "type": "Completed",
        "status": "True",
        "reason": "Succeeded",
        "message": "The pod has completed successfully.",
    },
    "Failed": {"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."},
}


def cells(pod: Object, now: float) -> list[Any]:
    spec, status = pod["spec"], pod.get("status") or {}
    sidecars = {one["name"] for one in spec.get("initContainers") or () if one.get("restartPolicy") == "Always"}
    total = len(spec.get("containers") or ()) + len(sidecars)
    ready, reason, counted = _state(pod, sidecars)
    return [
        pod["metadata"]["name"],
        f"{ready}/{total}",
        _deletion(pod, status) or reason,
        _restarts(counted, now),
        age(pod, now),
        _address(status),
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _gates(spec, status),
    ]


def conditions(pod: Object) -> list[Object] | None:
    """What a row says of a pod that has ended."""
    ended = _ENDED.get((pod.get("status") or {}).get("phase", ""))
    return [ended] if ended is not None else None


def _state(pod: Object, sidecars: set[str]) -> tuple[int, str, Sequence[Object]]:
    """Ready containers, the reason, and the containers whose restarts count."""
    status = pod.get("status") or {}
    inits = status.get("initContainerStatuses") or ()
    ready, initializing, reached = _initialization(inits, sidecars, len(pod["spec"].get("initContainers") or ()))
    if initializing and condition(pod, "Initialized") != "True":
        return ready, initializing, inits[: reached + 1]
    started = status.get("containerStatuses") or ()
    more, reason = _running(pod, started, initializing or _phase(pod, status))
    return ready + more, reason, [*(one for one in inits if one["name"] in sidecars), *started]


def _phase(pod: Object, status: Object) -> str:
    for one in status.get("conditions") or ():
        if one["type"] == "PodScheduled" and one.get("reason") == "SchedulingGated":
            return "SchedulingGated"
    return str(status.get("reason") or status.get("phase", ""))


def _initialization(inits: Sequence[Object], sidecars: set[str], wanted: int) -> tuple[int, str, int]:
    """Ready sidecars before the first init container that is not done, what that one waits for, and its index."""
    ready = 0
    for index, one in enumerate(inits):
        state = one.get("state") or {}
        ended = state.get("terminated")
        if ended is not None and not ended.get("exitCode"):
            continue
        if one["name"] in sidecars and one.get("started"):
            ready += 1 if one.get("ready") else 0
            continue
        if ended is not None:
            return ready, f"Init:{ended.get('reason') or _exit(ended)}", index
        waits = (state.get("waiting") or {}).get("reason", "")
        text = waits if waits and waits != "PodInitializing" else f"{index}/{wanted}"
        return ready, f"Init:{text}", index
    return ready, "", len(inits)


def _exit(ended: Object) -> str:
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _running(pod: Object, started: Sequence[Object], reason: str) -> tuple[int, str]:
    """Ready containers, and the reason of the first container that has one."""
    ready, has_running = 0, False
    for one in reversed(started):
        state = one.get("state") or {}
        waits, ended = (state.get("waiting") or {}).get("reason", ""), state.get("terminated")
        if waits:
            reason = waits
        elif ended is not None:
            reason = ended.get("reason") or _exit(ended)
        elif one.get("ready") and state.get("running") is not None:
            has_running = True
            ready += 1
    if reason == "Completed" and has_running:
        reason = "Running" if condition(pod, "Ready") == "True" else "NotReady"
    return ready, reason


def _deletion(pod: Object, status: Object) -> str:
    if not pod["metadata"].get("deletionTimestamp"):
        return ""
    if status.get("reason") == "NodeLost":
        return "Unknown"
    return "" if status.get("phase") in ("Succeeded", "Failed") else "Terminating"


def _restarts(counted: Iterable[Object], now: float) -> str:
    """`3 (5m ago)`"""
    restarts, last = 0, ""
    for one in counted:
        restarts += one.get("restartCount", 0)
        ended = (one.get("lastState") or {}).get("terminated")
        if ended:
            last = max(last, ended.get("finishedAt") or "")
    return f"{restarts} ({since(last, now)} ago)" if restarts and last else str(restarts)


def _address(status: Object) -> str:
    addresses = status.get("podIPs")
    return str(addresses[0]["ip"]) if addresses else NONE


def _gates(spec: Object, status: Object) -> str:
    gates = spec.get("readinessGates")
    if not gates:
        return NONE
    true = {one["type"] for one in status.get("conditions") or () if one["status"] == "True"}
    return f"{sum(1 for gate in gates if gate['conditionType'] in true)}/{len(gates)}"
