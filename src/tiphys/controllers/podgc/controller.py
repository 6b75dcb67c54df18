"""Gather the facts about a pod (or about all finished ones) and perform the plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.api import resources
from tiphys.api.errors import StatusError
from tiphys.api.objects import is_deleting, key_of
from tiphys.api.pods import is_finished
from tiphys.controllers.podgc.plan import FINISHED_MAX, PODS, plan_finished, plan_lost, plan_unscheduled
from tiphys.reconcile.commands import Command, Performed
from tiphys.reconcile.loop import Key, Loop
from tiphys.reconcile.nodes import BY_NODE, node_index
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

NODES = resources.get("", "v1", "nodes")
FINISHED: Key = ("", "finished pods")


class PodGcController:
    """Removes lost pods and the oldest finished ones."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._nodes = tools.informers.of(NODES)
        self._pods = tools.informers.of(PODS)
        self._pods.add_index(BY_NODE, node_index)
        self._missing: dict[str, float] = {}
        self._finished = 0
        sources = {self._pods: self._keys_of_pod, self._nodes: self._keys_of_node}
        self._loop = Loop("pod-garbage-collector", self._reconcile, sources)

    async def run(self) -> None:
        await self._loop.run()

    def _keys_of_pod(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        before = old is not None and is_finished(old)
        after = new is not None and is_finished(new)
        self._finished += after - before
        if self._finished > FINISHED_MAX:
            yield FINISHED
        if new is None:
            return
        node = new["spec"].get("nodeName", "")
        if (node and self._nodes.get("", node) is None) or (not node and is_deleting(new)):
            yield key_of(new)

    def _keys_of_node(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        if new is not None:
            self._missing.pop(new["metadata"]["name"], None)
        elif old is not None:
            for pod in self._pods.by(BY_NODE, old["metadata"]["name"]):
                yield key_of(pod)

    async def _reconcile(self, key: Key) -> Performed | None:
        if key == FINISHED:
            return await self._tools.perform(plan_finished(list(self._pods.list())))
        pod = self._pods.get(*key)
        if pod is None:
            return None
        return await self._tools.perform(await self._plan(pod))

    async def _plan(self, pod: Object) -> list[Command]:
        node = pod["spec"].get("nodeName", "")
        if not node:
            return plan_unscheduled(pod)
        if self._nodes.get("", node) is not None:
            return []
        now = self._tools.now()
        commands = plan_lost(pod, self._missing.setdefault(node, now), now)
        # Before a pod is taken for lost, the server itself must say that its node is not there.
        return [] if len(commands) and await self._exists(node) else commands

    async def _exists(self, node: str) -> bool:
        try:
            await self._tools.client.get(NODES, node)
        except StatusError as error:
            if error.code == 404:
                return False
            raise
        return True
