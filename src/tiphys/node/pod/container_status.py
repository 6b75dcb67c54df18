"""
One container's entry in PodStatus, exactly as the kubelet writes it. Pure.

A container waits (with a reason), runs or has terminated. An exited container that is to be run again after a back-off
shows as waiting, with the exit in `lastState`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api.objects import timestamp
from tiphys.node import backoff
from tiphys.node.pod import spec
from tiphys.node.pod.facts import ContainerFacts, PodFacts, Resize, Run, Waiting
from tiphys.node.pod.plan import restart_at

Object = dict[str, Any]
Pod = Mapping[str, Any]
Container = Mapping[str, Any]

RUNTIME_NAME = "crun"
UNKNOWN_REASON = "ContainerStatusUnknown"
LOST_MESSAGE = "The container could not be located when the pod was terminated"
LOST_EXIT_CODE = 137


def container_status(pod: Pod, container: Container, facts: PodFacts, now: float) -> Object:
    """The ContainerStatus of one container; `facts` are those of the whole pod."""
    known = facts.container(container["name"])
    run = known.latest
    state, last = _states(pod, container, facts, now)
    status: Object = {
        "name": container["name"],
        "image": (run.image if run else "") or container.get("image", ""),
        "imageID": run.image_id if run else "",
        "restartCount": run.attempt if run else 0,
        "ready": _is_ready(pod, container, known, state),
        "started": "running" in state and known.started,
        "state": state,
        "lastState": last,
    }
    if run is not None and (not run.stale or "terminated" in state):
        status["containerID"] = container_id(run)
    if "running" in state:
        _add_resources(status, container, _resources_in_force(container, run, facts.resize))
    _add_mounts(status, container)
    if run is not None and run.user is not None and "running" in state:
        uid, gid, groups = run.user
        status["user"] = {"linux": {"uid": uid, "gid": gid, "supplementalGroups": list(groups)}}
    return status


def container_id(run: Run) -> str:
    return f"{RUNTIME_NAME}://{run.id}"


def _is_ready(pod: Pod, container: Container, known: ContainerFacts, state: Object) -> bool:
    if "running" in state:
        return known.ready
    is_init = container in spec.init_containers(pod) and not spec.is_sidecar(container)
    return is_init and state.get("terminated", {}).get("exitCode") == 0


def _states(pod: Pod, container: Container, facts: PodFacts, now: float) -> tuple[Object, Object]:
    """(state, lastState)."""
    known = facts.container(container["name"])
    run = known.latest
    earlier = known.runs[-2] if len(known.runs) > 1 else None
    last = {"terminated": terminated(earlier)} if earlier is not None else {}
    if run is None:
        return _never_ran(pod, facts, known), last
    if known.is_running:
        return {"running": {"startedAt": timestamp(run.started_at)}}, last
    if run.state != "exited":
        return {"waiting": _waiting(_default_waiting(pod))}, last
    waiting = _waiting_for_restart(pod, container, facts, now)
    if waiting is not None:
        return {"waiting": _waiting(waiting)}, {"terminated": terminated(run)}
    return {"terminated": terminated(run)}, last


def _waiting_for_restart(pod: Pod, container: Container, facts: PodFacts, now: float) -> Waiting | None:
    """What an exited container waits for; None when it shows as terminated."""
    known = facts.container(container["name"])
    run = known.latest
    if run is None or facts.ending is not None or facts.torn_down or facts.refused is not None:
        return None
    if not run.void and not spec.should_restart(pod, container, run.exit_code):
        return _default_waiting(pod) if run.stale and _must_rerun(container, facts) else None
    if known.waiting is not None:
        return known.waiting
    until = restart_at(known)
    if now < until and known.backoff is not None:
        return crash_loop(pod, container, known.backoff)
    return _default_waiting(pod) if run.stale or run.void else None


def _must_rerun(container: Container, facts: PodFacts) -> bool:
    """After a reboot the init containers of a pod that goes on are run once more."""
    return facts.container(container["name"]).current is None and not facts.initialized and facts.sandbox.done


def crash_loop(pod: Pod, container: Container, entry: backoff.Entry) -> Waiting:
    delay = backoff.spelled(entry.delay_seconds)
    text = f"back-off {delay} restarting failed container={container['name']} pod={spec.described(pod)}"
    return Waiting("CrashLoopBackOff", text)


def _never_ran(pod: Pod, facts: PodFacts, known: ContainerFacts) -> Object:
    if facts.torn_down and facts.initialized:
        return {"terminated": lost()}
    return {"waiting": _waiting(known.waiting or _default_waiting(pod))}


def lost() -> Object:
    """The end of a container of which nothing was found."""
    return {
        "exitCode": LOST_EXIT_CODE,
        "reason": UNKNOWN_REASON,
        "message": LOST_MESSAGE,
        "startedAt": None,
        "finishedAt": None,
    }


def _default_waiting(pod: Pod) -> Waiting:
    return Waiting("PodInitializing" if spec.init_containers(pod) else "ContainerCreating")


def _waiting(waiting: Waiting) -> Object:
    return {"reason": waiting.reason, "message": waiting.message} if waiting.message else {"reason": waiting.reason}


def terminated(run: Run) -> Object:
    """ContainerStateTerminated of an exited run."""
    state: Object = {
        "exitCode": run.exit_code,
        "reason": run.reason or _reason(run),
        "startedAt": timestamp(run.started_at) if run.started_at else None,
        "finishedAt": timestamp(run.finished_at) if run.finished_at else None,
        "containerID": container_id(run),
    }
    if run.message:
        state["message"] = run.message
    return state


def _reason(run: Run) -> str:
    if run.oom_killed:
        return "OOMKilled"
    return "Completed" if run.exit_code == 0 else "Error"


def _resources_in_force(container: Container, run: Run | None, resize: Resize | None) -> Mapping[str, Any]:
    """What a running container was given; until a resize is done, what it had before."""
    given: Mapping[str, Any] = container.get("resources") or {}
    if resize is None or run is None:
        return given
    if resize.step.done and (not run.hash or run.hash == spec.spec_hash(container)):
        return given
    return resize.before["containers"].get(container["name"]) or {}


def _add_resources(status: Object, container: Container, held: Mapping[str, Any]) -> None:
    requests = (container.get("resources") or {}).get("requests")
    if requests:
        status["allocatedResources"] = dict(requests)
    status["resources"] = {part: dict(held[part]) for part in ("limits", "requests") if held.get(part)}


def _add_mounts(status: Object, container: Container) -> None:
    mounts = []
    for mount in container.get("volumeMounts") or ():
        shown = {"name": mount["name"], "mountPath": mount["mountPath"]}
        if mount.get("readOnly"):
            recursive = mount.get("recursiveReadOnly", "Disabled")
            # "IfPossible" is always possible on the kernels that we run on.
            shown |= {"readOnly": True, "recursiveReadOnly": "Disabled" if recursive == "Disabled" else "Enabled"}
        mounts.append(shown)
    if mounts:
        status["volumeMounts"] = mounts
