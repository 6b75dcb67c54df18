"""Gather a node's facts and perform its plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import condition_of
from tiphys.controllers.nodelifecycle.plan import NODES, PODS, plan
from tiphys.reconcile.commands import Performed
from tiphys.reconcile.loop import Key, Loop, own_key
from tiphys.reconcile.nodes import BY_NODE, node_index
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

LEASES = resources.get("coordination.k8s.io", "v1", "leases")
LEASE_NAMESPACE = "kube-node-lease"


class NodeLifecycleController:
    """Writes the conditions of silent nodes and the taints that follow conditions."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._nodes = tools.informers.of(NODES)
        self._pods = tools.informers.of(PODS)
        self._pods.add_index(BY_NODE, node_index)
        self._leases = tools.informers.of(LEASES)
        # node → (the renewal that was seen last, when we saw it)
        self._seen: dict[str, tuple[str, float]] = {}
        sources = {self._nodes: self._keys_of_node, self._leases: self._sign_of_life}
        self._loop = Loop("node-controller", self._reconcile, sources, reads=[self._pods])

    async def run(self) -> None:
        await self._loop.run()

    def _keys_of_node(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        """A node that tells how it is lives, also before its lease is renewed: else it were silenced again at once."""
        if old is not None and new is not None and _heartbeat(new) not in (None, _heartbeat(old)):
            name = new["metadata"]["name"]
            self._seen[name] = (self._seen.get(name, ("", 0.0))[0], self._tools.now())
        yield from own_key(old, new)

    def _sign_of_life(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        lease = new if new is not None else old
        if lease is None or lease["metadata"].get("namespace") != LEASE_NAMESPACE:
            return
        name = lease["metadata"]["name"]
        if new is None:
            self._seen.pop(name, None)
        else:
            renewed = str((new.get("spec") or {}).get("renewTime", ""))
            if self._seen.get(name, ("", 0.0))[0] != renewed:
                self._seen[name] = (renewed, self._tools.now())
        # A renewal of a node that is known to live changes nothing: its deadline is looked at when it comes.
        if old is None or new is None or self._is_marked(name):
            yield "", name

    def _is_marked(self, name: str) -> bool:
        node = self._nodes.get("", name)
        return node is not None and bool((node.get("spec") or {}).get("taints"))

    async def _reconcile(self, key: Key) -> Performed | None:
        name = key[1]
        node = self._nodes.get(*key)
        if node is None:
            self._seen.pop(name, None)
            return None
        now = self._tools.now()
        seen = self._seen.setdefault(name, ("", now))[1]
        return await self._tools.perform(plan(node, list(self._pods.by(BY_NODE, name)), seen, now))


def _heartbeat(node: Object) -> tuple[str, str] | None:
    """What the node's agent said last, and when; None if the last word was not its own."""
    ready = condition_of(node, "Ready")
    if ready is None or ready["status"] == "Unknown":
        return None
    return ready["status"], str(ready.get("lastHeartbeatTime", ""))
