"""Gather a DaemonSet's facts and perform its plan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tiphys.api.errors import StatusError
from tiphys.api.objects import controller_of, key_of, labels_of, name_of, namespace_of
from tiphys.api.resources import Resource
from tiphys.api.selectors import from_label_selector
from tiphys.controllers.daemonset.backoff import Backoffs
from tiphys.controllers.daemonset.nodes import DAEMONSETS, NODES, PODS, node_of, shown
from tiphys.controllers.daemonset.plan import Facts, plan
from tiphys.reconcile import history
from tiphys.reconcile.commands import Command, Delete, Performed, Update
from tiphys.reconcile.history import REVISIONS
from tiphys.reconcile.loop import Key, KeysOf, Loop, controller_key, own_key
from tiphys.reconcile.ownership import BY_CONTROLLER, Claim, claim, controller_index, within_reach
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

_owning_keys = controller_key("DaemonSet")


class DaemonSetController:
    """Writes pods, ControllerRevisions, and the status of DaemonSets."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._daemonsets, self._nodes = tools.informers.of(DAEMONSETS), tools.informers.of(NODES)
        self._pods, self._revisions = tools.informers.of(PODS), tools.informers.of(REVISIONS)
        for informer in (self._pods, self._revisions):
            informer.add_index(BY_CONTROLLER, controller_index)
        self._backoffs = Backoffs()
        sources: dict[Any, KeysOf] = {
            self._daemonsets: own_key,
            self._pods: self._keys_of_dependent,
            self._revisions: self._keys_of_dependent,
            self._nodes: self._keys_of_node,
        }
        self._loop = Loop("daemonset-controller", self._reconcile, sources)

    async def run(self) -> None:
        await self._loop.run()

    def _keys_of_dependent(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        yield from _owning_keys(old, new)
        if new is not None and controller_of(new) is None:
            for daemonset in self._daemonsets.list(namespace_of(new)):
                if from_label_selector(daemonset["spec"]["selector"]).matches(labels_of(new)):
                    yield key_of(daemonset)

    def _keys_of_node(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        """All of them, when a node comes, goes, or changes in what decides about daemons."""
        if old is None or new is None or shown(old) != shown(new):
            yield from (key_of(daemonset) for daemonset in self._daemonsets.list())

    async def _reconcile(self, key: Key) -> Performed | None:
        daemonset = self._daemonsets.get(*key)
        if daemonset is None:
            self._backoffs.forget(key)
            return None
        pods, revisions = self._claimed(daemonset, PODS), self._claimed(daemonset, REVISIONS)
        adoption = [*pods.commands, *revisions.commands]
        if adoption:
            # What was adopted or released is planned with once the cache shows it.
            performed = await self._tools.perform(adoption)
            return Performed(performed.versions, performed.created, 0.0)
        now = self._tools.now()
        facts = Facts(list(self._nodes.list()), pods.owned, revisions.owned, self._backoffs.of(key))
        commands = plan(daemonset, facts, now)
        self._backoffs.replaced(key, _failing(facts.pods, commands), now)
        return await self._perform(daemonset, commands)

    def _claimed(self, daemonset: Object, resource: Resource) -> Claim:
        informer = self._pods if resource == PODS else self._revisions
        selector = from_label_selector(daemonset["spec"]["selector"])
        candidates = within_reach(informer, daemonset)
        return claim(daemonset, resource, candidates, lambda one: selector.matches(labels_of(one)))

    async def _perform(self, daemonset: Object, commands: Sequence[Command]) -> Performed:
        try:
            return await self._tools.perform(commands)
        except StatusError as error:
            if error.reason == "AlreadyExists":
                taken = self._revisions.get(namespace_of(daemonset), history.name_for(daemonset))
                counted = history.next_name(DAEMONSETS, daemonset, taken)
                if counted:
                    await self._tools.perform(counted)
                    raise
            # A pod that is refused keeps nobody from being told how things are.
            told = [c for c in commands if isinstance(c, Update) and c.subresource == "status"]
            await self._tools.perform(told)
            raise


def _failing(pods: Sequence[Object], commands: Sequence[Command]) -> list[str]:
    """The nodes whose failed pods these commands replace."""
    gone = {command.key[1] for command in commands if isinstance(command, Delete) and command.resource == PODS}
    return [node_of(pod) for pod in pods if name_of(pod) in gone and pod["status"].get("phase") == "Failed"]
