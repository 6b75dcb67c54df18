"""Gather a pod's facts and perform its plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import key_of
from tiphys.controllers.tainteviction.plan import PODS, no_execute_taints, plan
from tiphys.reconcile.commands import Performed
from tiphys.reconcile.loop import Key, Loop
from tiphys.reconcile.nodes import BY_NODE, node_index
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

NODES = resources.get("", "v1", "nodes")


class TaintEvictionController:
    """Deletes pods that a NoExecute taint drives away."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._nodes = tools.informers.of(NODES)
        self._pods = tools.informers.of(PODS)
        self._pods.add_index(BY_NODE, node_index)
        sources = {self._nodes: self._keys_of_node, self._pods: self._keys_of_pod}
        self._loop = Loop("taint-eviction-controller", self._reconcile, sources)

    async def run(self) -> None:
        await self._loop.run()

    def _keys_of_node(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        """Every pod of a node whose driving taints changed."""
        if new is not None and no_execute_taints(old) != no_execute_taints(new):
            for pod in self._pods.by(BY_NODE, new["metadata"]["name"]):
                yield key_of(pod)

    def _keys_of_pod(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        """A pod that comes to a node, or tolerates something else; hardly any node has such taints."""
        if new is None or not new["spec"].get("nodeName"):
            return
        if not no_execute_taints(self._nodes.get("", new["spec"]["nodeName"])):
            return
        if old is None or any(old["spec"].get(name) != new["spec"].get(name) for name in ("nodeName", "tolerations")):
            yield key_of(new)

    async def _reconcile(self, key: Key) -> Performed | None:
        pod = self._pods.get(*key)
        node = self._nodes.get("", pod["spec"].get("nodeName", "")) if pod is not None else None
        if pod is None or node is None:
            return None
        return await self._tools.perform(plan(pod, no_execute_taints(node), self._tools.now()))
