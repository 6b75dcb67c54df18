"""Gather the facts of rollouts of workloads that say what to do on failure, and perform their plans."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from tiphys.api import own_annotations, resources
from tiphys.api.objects import annotations_of, controller_of, key_of, namespace_of, uid_of
from tiphys.api.own_annotations import ON_FAILURE
from tiphys.api.resources import Resource
from tiphys.controllers.rollout import facts
from tiphys.controllers.rollout.facts import DAEMONSETS, DEPLOYMENTS, STATEFULSETS, Rollout
from tiphys.controllers.rollout.plan import PODS, plan
from tiphys.reconcile.commands import Performed
from tiphys.reconcile.history import REVISIONS
from tiphys.reconcile.loop import Key, KeysOf, Loop
from tiphys.reconcile.ownership import BY_CONTROLLER, controller_index
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

REPLICASETS = resources.get("apps", "v1", "replicasets")


class RolloutController:
    """Writes templates, pauses and notes of workloads with `tiphys.io/on-failure`, and deletes their broken pods."""

    def __init__(self, tools: Tools) -> None:
        self._judges = [_Judge(tools, resource) for resource in (DEPLOYMENTS, STATEFULSETS, DAEMONSETS)]

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for judge in self._judges:
                group.create_task(judge.run())


class _Judge:
    """Of one kind of workload."""

    def __init__(self, tools: Tools, resource: Resource) -> None:
        self._tools, self._resource = tools, resource
        self._workloads, self._pods = tools.informers.of(resource), tools.informers.of(PODS)
        # The objects that keep a workload's revisions.
        self._kept = tools.informers.of(REPLICASETS if resource == DEPLOYMENTS else REVISIONS)
        for informer in (self._pods, self._kept):
            informer.add_index(BY_CONTROLLER, controller_index)
        sources: dict[Any, KeysOf] = {
            self._workloads: self._keys_of_workload,
            self._pods: self._keys_of_pod,
            self._kept: self._keys_of_owned,
        }
        self._loop = Loop(f"rollout-{resource.name}-controller", self._reconcile, sources)

    async def run(self) -> None:
        await self._loop.run()

    def _keys_of_workload(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        if new is not None and ON_FAILURE in annotations_of(new):
            yield key_of(new)

    def _keys_of_owned(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        obj = new if new is not None else old
        owner = controller_of(obj) if obj is not None else None
        if obj is not None and owner is not None and owner["kind"] == self._resource.kind:
            yield from self._keys_of_workload(None, self._workloads.get(namespace_of(obj), owner["name"]))

    def _keys_of_pod(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        if self._resource != DEPLOYMENTS:
            yield from self._keys_of_owned(old, new)
            return
        pod = new if new is not None else old
        owner = controller_of(pod) if pod is not None else None
        if pod is not None and owner is not None and owner["kind"] == "ReplicaSet":
            yield from self._keys_of_owned(None, self._kept.get(namespace_of(pod), owner["name"]))

    async def _reconcile(self, key: Key) -> Performed | None:
        workload = self._workloads.get(*key)
        if workload is None:
            return None
        try:
            policy = own_annotations.rollout_policy(annotations_of(workload))
        except ValueError:
            return None  # admission refuses it; what was there before is left alone
        if policy is None:
            return None
        return await self._tools.perform(plan(self._rollout(workload), policy, self._tools.now()))

    def _rollout(self, workload: Object) -> Rollout:
        kept = list(self._kept.by(BY_CONTROLLER, uid_of(workload)))
        if self._resource == DEPLOYMENTS:
            pods = [pod for one in kept for pod in self._pods.by(BY_CONTROLLER, uid_of(one))]
            return facts.of_deployment(workload, kept, pods)
        return facts.of_set(self._resource, workload, kept, list(self._pods.by(BY_CONTROLLER, uid_of(workload))))
