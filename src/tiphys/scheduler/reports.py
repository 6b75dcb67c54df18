"""What the scheduler tells the user about a pod: its PodScheduled condition, its nominated node, and events."""

from __future__ import annotations

import logging
from typing import Any

from tiphys.aio import clock
from tiphys.api import resources
from tiphys.api.errors import StatusError
from tiphys.api.objects import condition_of, key_of, timestamp, uid_of
from tiphys.client.client import STRATEGIC_PATCH, Client
from tiphys.client.events import Recorder

Object = dict[str, Any]

PODS = resources.get("", "v1", "pods")
UNSCHEDULABLE, ERROR = "Unschedulable", "SchedulerError"

log = logging.getLogger(__name__)


class Reports:
    """Writes as the scheduler, and only what is new."""

    def __init__(self, client: Client, recorder: Recorder, now: clock.Clock) -> None:
        self._client = client
        self._recorder = recorder
        self._now = now

    def bound(self, pod: Object, node: str) -> None:
        namespace, name = key_of(pod)
        self._recorder.normal(pod, "Scheduled", f"Successfully assigned {namespace}/{name} to {node}")

    def preempted(self, victim: Object, preemptor: Object, node: str) -> None:
        self._recorder.normal(victim, "Preempted", f"Preempted by pod {uid_of(preemptor)} on node {node}")

    async def refused(self, pod: Object, reason: str, message: str, nominated: str | None = None) -> None:
        """Why the pod has no node. `nominated` is where it was promised one, "" that it no longer is."""
        held = condition_of(pod, "PodScheduled") or {}
        told = held.get("message") == message and held.get("status") == "False" and held.get("reason") == reason
        said = (pod.get("status") or {}).get("nominatedNodeName", "")
        if told and nominated in (None, said):
            return
        if not told:
            self._recorder.warning(pod, "FailedScheduling", message)
        changed = held.get("lastTransitionTime") if held.get("status") == "False" else None
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": reason,
            "message": message,
            "lastTransitionTime": changed or timestamp(self._now()),
        }
        if pod["metadata"].get("generation"):
            condition["observedGeneration"] = pod["metadata"]["generation"]
        status: Object = {"conditions": [condition]}
        if nominated is not None:
            status["nominatedNodeName"] = nominated or None
        await self._patch(pod, status)

    async def not_nominated(self, pod: Object) -> None:
        """The pod is not promised a node any longer."""
        await self._patch(pod, {"nominatedNodeName": None})

    async def disrupted(self, pod: Object, message: str) -> None:
        """A pod has to go for a more important one. Raises what the API says."""
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
            "message": message,
            "lastTransitionTime": timestamp(self._now()),
        }
        if pod["metadata"].get("generation"):
            condition["observedGeneration"] = pod["metadata"]["generation"]
        await self._send(pod, {"conditions": [condition]})

    async def _patch(self, pod: Object, status: Object) -> None:
        try:
            await self._send(pod, status)
        except (StatusError, OSError) as error:
            log.debug("the reason could not be written to %s: %s", key_of(pod), error)

    async def _send(self, pod: Object, status: Object) -> None:
        patch = {"metadata": {"uid": uid_of(pod)}, "status": status}
        await self._client.patch(PODS, key_of(pod), patch, subresource="status", media_type=STRATEGIC_PATCH)
