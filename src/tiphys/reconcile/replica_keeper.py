"""Gather the facts of an object that keeps a number of equal pods, and perform its plan (`replicas.py`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from tiphys.api.errors import StatusError
from tiphys.api.objects import controller_of, labels_of
from tiphys.api.resources import Resource
from tiphys.api.selectors import Selector
from tiphys.reconcile.commands import Command, Performed
from tiphys.reconcile.loop import Key, Loop, controller_key, own_key
from tiphys.reconcile.ownership import BY_CONTROLLER, claim, controller_index, within_reach
from tiphys.reconcile.replicas import PODS
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]


class Plan(Protocol):
    """What a kind decides: its object, the pods that it owns, the moment, and the text of the last failure."""

    def __call__(self, owner: Object, pods: Sequence[Object], now: float, failure: str, /) -> list[Command]: ...


class ReplicaKeeper:
    """Writes pods, and the status of `resource`, whose objects select their pods by `selector_of`."""

    def __init__(self, tools: Tools, resource: Resource, selector_of: Callable[[Object], Selector], plan: Plan) -> None:
        self._tools, self._selector_of, self._plan = tools, selector_of, plan
        self._owners = tools.informers.of(resource)
        self._pods = tools.informers.of(PODS)
        self._pods.add_index(BY_CONTROLLER, controller_index)
        self._owning_keys = controller_key(resource.kind)
        self._failures: dict[Key, str] = {}
        sources = {self._owners: own_key, self._pods: self._keys_of_pod}
        self._loop = Loop(f"{resource.kind.lower()}-controller", self._reconcile, sources)

    async def run(self) -> None:
        await self._loop.run()

    def _keys_of_pod(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        yield from self._owning_keys(old, new)
        if new is not None and controller_of(new) is None:
            namespace = new["metadata"]["namespace"]
            for owner in self._owners.list(namespace):
                if self._selector_of(owner).matches(labels_of(new)):
                    yield namespace, owner["metadata"]["name"]

    async def _reconcile(self, key: Key) -> Performed | None:
        owner = self._owners.get(*key)
        if owner is None:
            self._failures.pop(key, None)
            return None
        selector = self._selector_of(owner)
        candidates = within_reach(self._pods, owner)
        claimed = claim(owner, PODS, candidates, lambda pod: selector.matches(labels_of(pod)))
        failure = self._failures.pop(key, "")
        try:
            commands = [*claimed.commands, *self._plan(owner, claimed.owned, self._tools.now(), failure)]
            return await self._tools.perform(commands)
        except StatusError as error:
            # Told in the status by the next attempt, which the loop makes after its back-off.
            self._failures[key] = str(error)
            raise
