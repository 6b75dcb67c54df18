"""Gather a StatefulSet's facts and perform its plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.api.errors import StatusError
from tiphys.api.objects import controller_of, key_of, labels_of, name_of, namespace_of
from tiphys.api.selectors import from_label_selector
from tiphys.controllers.statefulset.identity import CLAIMS, PODS, STATEFULSETS, ordinal_of
from tiphys.controllers.statefulset.plan import Facts, plan
from tiphys.reconcile import history
from tiphys.reconcile.commands import Command, Performed, Update
from tiphys.reconcile.history import REVISIONS
from tiphys.reconcile.loop import Key, KeysOf, Loop, controller_key, own_key
from tiphys.reconcile.ownership import BY_CONTROLLER, claim, controller_index, within_reach
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

_owning_keys = controller_key("StatefulSet")


class StatefulSetController:
    """Writes pods, their claims and owners of claims, ControllerRevisions, and the status of StatefulSets."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._statefulsets = tools.informers.of(STATEFULSETS)
        self._pods, self._claims = tools.informers.of(PODS), tools.informers.of(CLAIMS)
        self._revisions = tools.informers.of(REVISIONS)
        for informer in (self._pods, self._revisions):
            informer.add_index(BY_CONTROLLER, controller_index)
        sources: dict[Any, KeysOf] = {
            self._statefulsets: own_key,
            self._pods: self._keys_of_dependent,
            self._revisions: self._keys_of_dependent,
            self._claims: self._keys_of_claim,
        }
        self._loop = Loop("statefulset-controller", self._reconcile, sources)

    async def run(self) -> None:
        await self._loop.run()

    def _keys_of_dependent(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        yield from _owning_keys(old, new)
        if new is not None and controller_of(new) is None:
            for statefulset in self._statefulsets.list(namespace_of(new)):
                if from_label_selector(statefulset["spec"]["selector"]).matches(labels_of(new)):
                    yield key_of(statefulset)

    def _keys_of_claim(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        """A claim is known by its name: most belong to nobody."""
        claim_now = new if new is not None else old
        if claim_now is None:
            return
        for statefulset in self._statefulsets.list(namespace_of(claim_now)):
            templates = statefulset["spec"].get("volumeClaimTemplates") or ()
            stems = [f"{template['metadata']['name']}-{name_of(statefulset)}-" for template in templates]
            if any(name_of(claim_now).startswith(stem) for stem in stems):
                yield key_of(statefulset)

    async def _reconcile(self, key: Key) -> Performed | None:
        statefulset = self._statefulsets.get(*key)
        if statefulset is None:
            return None
        adoption, facts = self._facts(statefulset)
        if adoption:
            # What was adopted or released is planned with once the cache shows it.
            performed = await self._tools.perform(adoption)
            return Performed(performed.versions, performed.created, 0.0)
        commands = plan(statefulset, facts, self._tools.now())
        try:
            return await self._tools.perform(commands)
        except StatusError as error:
            if error.reason == "AlreadyExists" and await self._count_collision(statefulset):
                raise
            # A pod that is refused keeps nobody from being told how things are.
            told = [c for c in commands if isinstance(c, Update) and c.subresource == "status"]
            await self._tools.perform(told)
            raise

    def _facts(self, statefulset: Object) -> tuple[list[Command], Facts]:
        selector = from_label_selector(statefulset["spec"]["selector"])
        pods = claim(
            statefulset,
            PODS,
            within_reach(self._pods, statefulset),
            lambda pod: selector.matches(labels_of(pod)) and ordinal_of(statefulset, pod) is not None,
        )
        revisions = claim(
            statefulset,
            REVISIONS,
            within_reach(self._revisions, statefulset),
            lambda revision: selector.matches(labels_of(revision)),
        )
        claims = {name_of(one): one for one in self._claims.list(namespace_of(statefulset))}
        return [*pods.commands, *revisions.commands], Facts(pods.owned, revisions.owned, claims)

    async def _count_collision(self, statefulset: Object) -> bool:
        taken = self._revisions.get(namespace_of(statefulset), history.name_for(statefulset))
        counted = history.next_name(STATEFULSETS, statefulset, taken)
        await self._tools.perform(counted)
        return bool(counted)
