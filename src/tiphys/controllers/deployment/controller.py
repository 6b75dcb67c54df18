"""Gather a Deployment's facts and perform its plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.api import resources
from tiphys.api.errors import StatusError
from tiphys.api.objects import controller_of, labels_of, uid_of
from tiphys.api.selectors import from_label_selector
from tiphys.controllers.deployment import templates
from tiphys.controllers.deployment.plan import DEPLOYMENTS, plan
from tiphys.controllers.deployment.templates import REPLICASETS
from tiphys.reconcile.commands import Performed, Update
from tiphys.reconcile.loop import Key, Loop, controller_key, own_key
from tiphys.reconcile.ownership import BY_CONTROLLER, claim, controller_index, within_reach
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

PODS = resources.get("", "v1", "pods")


class DeploymentController:
    """Writes ReplicaSets, and the status and revision of Deployments."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._deployments = tools.informers.of(DEPLOYMENTS)
        self._replicasets = tools.informers.of(REPLICASETS)
        self._pods = tools.informers.of(PODS)
        for informer in (self._replicasets, self._pods):
            informer.add_index(BY_CONTROLLER, controller_index)
        sources = {
            self._deployments: own_key,
            self._replicasets: self._keys_of_replicaset,
            self._pods: self._keys_of_pod,
        }
        self._loop = Loop("deployment-controller", self._reconcile, sources)

    async def run(self) -> None:
        await self._loop.run()

    def _keys_of_replicaset(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        yield from controller_key("Deployment")(old, new)
        if new is not None and controller_of(new) is None:
            namespace = new["metadata"]["namespace"]
            for deployment in self._deployments.list(namespace):
                if from_label_selector(deployment["spec"]["selector"]).matches(labels_of(new)):
                    yield namespace, deployment["metadata"]["name"]

    def _keys_of_pod(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        """Only Recreate waits for pods themselves, and only for their end."""
        if old is None or new is not None:
            return
        owner = controller_of(old)
        replicaset = self._replicasets.get(old["metadata"]["namespace"], owner["name"]) if owner is not None else None
        if replicaset is not None:
            yield from controller_key("Deployment")(None, replicaset)

    async def _reconcile(self, key: Key) -> Performed | None:
        deployment = self._deployments.get(*key)
        if deployment is None:
            return None
        selector = from_label_selector(deployment["spec"]["selector"])
        candidates = within_reach(self._replicasets, deployment)
        claimed = claim(deployment, REPLICASETS, candidates, lambda rs: selector.matches(labels_of(rs)))
        if claimed.commands:
            # What was adopted or released is planned with once the cache shows it.
            performed = await self._tools.perform(claimed.commands)
            return Performed(performed.versions, performed.created, 0.0)
        pods = [pod for rs in claimed.owned for pod in self._pods.by(BY_CONTROLLER, uid_of(rs))]
        commands = plan(deployment, claimed.owned, pods, self._tools.now())
        try:
            return await self._tools.perform(commands)
        except StatusError as error:
            if error.reason == "AlreadyExists":
                await self._next_name(deployment)
            raise

    async def _next_name(self, deployment: Object) -> None:
        """The hash of the new template is taken by a ReplicaSet that is not ours: move on to the next name."""
        name_hash = templates.template_hash(
            deployment["spec"]["template"], (deployment.get("status") or {}).get("collisionCount") or 0
        )
        taken = self._replicasets.get(
            deployment["metadata"]["namespace"], f"{deployment['metadata']['name']}-{name_hash}"
        )
        owner = controller_of(taken) if taken is not None else None
        if taken is None or (owner is not None and owner["uid"] == uid_of(deployment)):
            return
        collisions = ((deployment.get("status") or {}).get("collisionCount") or 0) + 1
        status = {**(deployment.get("status") or {}), "collisionCount": collisions}
        await self._tools.perform([Update(DEPLOYMENTS, {**deployment, "status": status}, "status")])
