"""
PodStatus from the facts, exactly as the kubelet writes it.

Pure: the status that was last written goes in as `previous`, because transition times, final phases, addresses and the
conditions of other writers live on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tiphys.api import pods
from tiphys.api.objects import timestamp
from tiphys.node.pod import conditions, spec
from tiphys.node.pod.container_status import container_status
from tiphys.node.pod.facts import PodFacts
from tiphys.node.pod.phase import FINAL, phase_of
from tiphys.node.pod.plan import has_finished, restarts_all

Object = dict[str, Any]
Pod = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Host:
    """The machine's addresses."""

    ip: str


def pod_status(pod: Pod, facts: PodFacts, previous: Mapping[str, Any], now: float, host: Host) -> Object:
    """The whole status."""
    if facts.refused is not None:
        return _refused(pod, facts, previous)
    status: Object = {}
    if pod["metadata"].get("generation"):
        status["observedGeneration"] = pod["metadata"]["generation"]
    inits = [container_status(pod, container, facts, now) for container in spec.init_containers(pod)]
    mains = [container_status(pod, container, facts, now) for container in spec.main_containers(pod)]
    status["phase"] = _phase(pod, facts, previous, [*inits, *mains])
    _add_reason(status, facts, previous)
    if inits:
        status["initContainerStatuses"] = inits
    status["containerStatuses"] = mains
    if spec.ephemeral_containers(pod):
        some = spec.ephemeral_containers(pod)
        status["ephemeralContainerStatuses"] = [container_status(pod, container, facts, now) for container in some]
    can_start = facts.sandbox.done and bool(facts.address) and not facts.torn_down
    owned = conditions.conditions_of(pod, status, can_start=can_start, initialized=facts.initialized)
    if facts.held is not None or facts.resize is not None:
        owned = [*conditions.resizing(facts.held, facts.resize), *owned]
    if pods.may_restart_all(spec.all_containers(pod)):
        owned.append(conditions.restarting(status, under_way=facts.ending is None and restarts_all(pod, facts)))
    if facts.ending is not None and facts.ending.reason in conditions.DISRUPTIONS:
        owned.append(conditions.disrupted(facts.ending.message))
    status["conditions"] = conditions.settled(pod, owned, previous.get("conditions") or (), now)
    _add_addresses(status, facts, previous, host)
    if pod["spec"].get("resources"):
        _add_resources(status, pod, facts)
    if facts.started_at:
        status["startTime"] = timestamp(facts.started_at)
    for kept in ("qosClass", "nominatedNodeName", "resourceClaimStatuses"):
        if previous.get(kept):
            status[kept] = previous[kept]
    return status


def _phase(pod: Pod, facts: PodFacts, previous: Mapping[str, Any], statuses: list[Object]) -> str:
    if previous.get("phase") in FINAL:
        return str(previous["phase"])
    over = not facts.anything_running
    if over and facts.ending is not None and facts.ending.reason:
        return "Failed"
    finished = over and (facts.torn_down or facts.ending is not None or has_finished(pod, facts))
    return phase_of(pod, statuses, finished=finished, initialized=facts.initialized)


def _add_reason(status: Object, facts: PodFacts, previous: Mapping[str, Any]) -> None:
    if facts.ending is not None and facts.ending.reason and status["phase"] == "Failed":
        status["reason"], status["message"] = facts.ending.reason, facts.ending.message
    elif previous.get("phase") == status["phase"]:
        status |= {part: previous[part] for part in ("reason", "message") if previous.get(part)}


def _add_addresses(status: Object, facts: PodFacts, previous: Mapping[str, Any], host: Host) -> None:
    status["hostIP"] = host.ip
    status["hostIPs"] = [{"ip": host.ip}]
    address = facts.address or previous.get("podIP")
    if address:
        status["podIP"] = address
        status["podIPs"] = [{"ip": address}]


def _add_resources(status: Object, pod: Pod, facts: PodFacts) -> None:
    """Those of the pod as a whole."""
    given = pod["spec"]["resources"]
    if given.get("requests"):
        status["allocatedResources"] = dict(given["requests"])
    is_in_force = facts.resize is None or facts.resize.step.done
    held = given if is_in_force or facts.resize is None else facts.resize.before["pod"]
    status["resources"] = {part: dict(held[part]) for part in ("limits", "requests") if held.get(part)}


def _refused(pod: Pod, facts: PodFacts, previous: Mapping[str, Any]) -> Object:
    """A pod that the node did not admit: it failed before anything was made."""
    assert facts.refused is not None
    status: Object = {
        "phase": "Failed",
        "reason": facts.refused.reason,
        "message": f"Pod was rejected: {facts.refused.message}",
        "startTime": timestamp(facts.started_at),
        "conditions": [dict(condition) for condition in previous.get("conditions") or ()],
    }
    if pod["metadata"].get("generation"):
        status["observedGeneration"] = pod["metadata"]["generation"]
    if previous.get("qosClass"):
        status["qosClass"] = previous["qosClass"]
    return status
