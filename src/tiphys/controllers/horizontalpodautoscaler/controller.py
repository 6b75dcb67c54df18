"""
Look at each autoscaler once a second: measure, decide, set its target's scale, tell what came of it.

Load has no event, so this is the one controller with a pace of its own. It has it only while there is an autoscaler,
and nodes are asked only about the pods of its target. What merely repeats is written every quarter of a minute.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tiphys.api import resources
from tiphys.api.errors import StatusError
from tiphys.api.objects import key_of, labels_of, namespace_of
from tiphys.api.resources import Resource
from tiphys.api.selectors import Selector, SelectorError, parse_labels
from tiphys.controllers.horizontalpodautoscaler import limits
from tiphys.controllers.horizontalpodautoscaler.evaluate import Reading
from tiphys.controllers.horizontalpodautoscaler.limits import History
from tiphys.controllers.horizontalpodautoscaler.metrics import MetricsReader
from tiphys.controllers.horizontalpodautoscaler.plan import (
    AUTOSCALERS,
    HEARTBEAT_SECONDS,
    Decision,
    Facts,
    bounds_of,
    conclude,
    decide,
)
from tiphys.reconcile.commands import Performed, Requeue, Update
from tiphys.reconcile.loop import Key, Loop
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

PODS = resources.get("", "v1", "pods")
LOOK_SECONDS = 1.0


@dataclass(slots=True)
class Memory:
    """What is known of one autoscaler beyond its object; lost with the process, as in Kubernetes."""

    history: History = field(default_factory=History)
    selector: Selector | None = None
    told_at: float = 0.0
    told: tuple[tuple[str, str, str], ...] = ()


class HorizontalPodAutoscalerController:
    """Writes the scale of workloads, and the status of HorizontalPodAutoscalers."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._metrics = MetricsReader(tools.client)
        self._autoscalers = tools.informers.of(AUTOSCALERS)
        self._pods = tools.informers.of(PODS)
        self._memories: dict[Key, Memory] = {}
        self._loop = Loop(
            "horizontal-pod-autoscaler", self._reconcile, {self._autoscalers: _changed}, reads=[self._pods]
        )

    async def run(self) -> None:
        await self._loop.run()

    async def _reconcile(self, key: Key) -> Performed | None:
        autoscaler = self._autoscalers.get(*key)
        if autoscaler is None:
            self._memories.pop(key, None)
            return None
        memory = self._memories.setdefault(key, Memory())
        facts, resource = await self._facts(key, autoscaler, memory)
        now = self._tools.now()
        decision = decide(facts, memory.history, now)
        memory.history = decision.history
        refusal = ""
        if decision.is_rescale and facts.scale is not None and resource is not None:
            refusal = await self._rescale(resource, facts.scale, decision)
            if not refusal:
                memory.history = limits.rescaled(memory.history, decision.current, decision.replicas or 0, now)
        tells = now - memory.told_at >= HEARTBEAT_SECONDS or decision.events != memory.told
        if tells:
            memory.told_at, memory.told = now, decision.events
        commands = conclude(autoscaler, decision, refusal, now, tells=tells)
        return await self._tools.perform([*commands, Requeue(LOOK_SECONDS)])

    async def _rescale(self, resource: Resource, scale: Object, decision: Decision) -> str:
        """Why the API refuses the new count; "" if it does not."""
        new = {**scale, "spec": {**scale["spec"], "replicas": decision.replicas}}
        try:
            await self._tools.perform([Update(resource, new, "scale")])
        except StatusError as error:
            return str(error)
        return ""

    async def _facts(self, key: Key, autoscaler: Object, memory: Memory) -> tuple[Facts, Resource | None]:
        target = autoscaler["spec"]["scaleTargetRef"]
        resource = resources.of_kind(target.get("apiVersion") or "v1", target["kind"])
        memory.selector = None
        if resource is None:
            text = f'no matches for kind "{target["kind"]}" in version "{target.get("apiVersion")}"'
            error = f"unable to determine resource for scale target reference: {text}"
            return Facts(autoscaler, scale_error=error), None
        try:
            path = resource.path(key[0], target["name"], "scale")
            scale = await self._tools.client.request("GET", path)
        except StatusError as error:
            return Facts(autoscaler, scale_error=str(error)), resource
        text = scale["status"].get("selector", "")
        bounds = bounds_of(autoscaler)
        current = int(scale["spec"].get("replicas", 0))
        if not text or not bounds.least <= current <= bounds.most or current == 0:
            unread = [Reading()] * len(autoscaler["spec"].get("metrics") or ())
            return Facts(autoscaler, scale, readings=unread), resource
        try:
            memory.selector = parse_labels(text)
        except SelectorError as error:
            return Facts(autoscaler, scale, selector_error=str(error)), resource
        pods = [pod for pod in self._pods.list(key[0]) if memory.selector.matches(labels_of(pod))]
        rivals = self._rivals(key[0], pods)
        readings = await self._metrics.read(autoscaler, text)
        return Facts(autoscaler, scale, "", pods, readings, rivals=rivals), resource

    def _rivals(self, namespace: str, pods: Iterable[Object]) -> list[str]:
        """The autoscalers of a namespace whose targets select one of these pods."""
        selectors = {key: memory.selector for key, memory in self._memories.items() if key[0] == namespace}
        if len(selectors) < 2:
            return []
        labels = [labels_of(pod) for pod in pods]
        return [
            "/".join(key)
            for key, selector in selectors.items()
            if selector is not None and any(selector.matches(of_pod) for of_pod in labels)
        ]


def _changed(old: Object | None, new: Object | None) -> Iterable[Key]:
    """What the user changed; our own writes of the status are no news."""
    if old is not None and new is not None and old["spec"] == new["spec"]:
        return
    obj = new if new is not None else old
    if obj is not None:
        yield namespace_of(obj), key_of(obj)[1]
