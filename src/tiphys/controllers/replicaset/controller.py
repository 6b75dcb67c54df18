"""Gather a ReplicaSet's facts and perform its plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.api.errors import StatusError
from tiphys.api.objects import labels_of
from tiphys.api.selectors import from_label_selector
from tiphys.controllers.replicaset.plan import PODS, REPLICASETS, plan
from tiphys.reconcile.commands import Performed
from tiphys.reconcile.loop import Key, Loop, controller_key, own_key
from tiphys.reconcile.ownership import BY_CONTROLLER, claim, controller_index, within_reach
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

_owning_keys = controller_key("ReplicaSet")


class ReplicaSetController:
    """Writes pods, and the status of ReplicaSets."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._replicasets = tools.informers.of(REPLICASETS)
        self._pods = tools.informers.of(PODS)
        self._pods.add_index(BY_CONTROLLER, controller_index)
        self._failures: dict[Key, str] = {}
        sources = {self._replicasets: own_key, self._pods: self._keys_of_pod}
        self._loop = Loop("replicaset-controller", self._reconcile, sources)

    async def run(self) -> None:
        await self._loop.run()

    def _keys_of_pod(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        yield from _owning_keys(old, new)
        if new is not None and not any(o.get("controller") for o in new["metadata"].get("ownerReferences") or ()):
            namespace = new["metadata"]["namespace"]
            for replicaset in self._replicasets.list(namespace):
                if from_label_selector(replicaset["spec"]["selector"]).matches(labels_of(new)):
                    yield namespace, replicaset["metadata"]["name"]

    async def _reconcile(self, key: Key) -> Performed | None:
        replicaset = self._replicasets.get(*key)
        if replicaset is None:
            self._failures.pop(key, None)
            return None
        selector = from_label_selector(replicaset["spec"]["selector"])
        candidates = within_reach(self._pods, replicaset)
        claimed = claim(replicaset, PODS, candidates, lambda pod: selector.matches(labels_of(pod)))
        failure = self._failures.pop(key, "")
        try:
            commands = [*claimed.commands, *plan(replicaset, claimed.owned, self._tools.now(), failure)]
            return await self._tools.perform(commands)
        except StatusError as error:
            # Told in the status by the next attempt, which the loop makes after its back-off.
            self._failures[key] = str(error)
            raise
