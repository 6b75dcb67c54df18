"""Gather the pods that use a claim and perform its plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import namespace_of
from tiphys.api.storage import claim_names
from tiphys.controllers.pvcprotection.plan import CLAIMS, plan
from tiphys.reconcile.claims import BY_CLAIM, claim_index
from tiphys.reconcile.commands import Performed
from tiphys.reconcile.loop import Key, Loop, own_key
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

PODS = resources.get("", "v1", "pods")


class PvcProtectionController:
    """Writes the finalizer `kubernetes.io/pvc-protection`."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._claims, self._pods = tools.informers.of(CLAIMS), tools.informers.of(PODS)
        self._pods.add_index(BY_CLAIM, claim_index)
        sources = {self._claims: own_key, self._pods: _claims_of_pod}
        self._loop = Loop("persistentvolumeclaim-protection-controller", self._reconcile, sources)

    async def run(self) -> None:
        await self._loop.run()

    async def _reconcile(self, key: Key) -> Performed | None:
        claim = self._claims.get(*key)
        if claim is None:
            return None
        commands = plan(claim, list(self._pods.by(BY_CLAIM, "/".join(key))))
        if commands and "deletionTimestamp" in claim["metadata"]:
            # The cache may lag behind a pod that was bound a moment ago: the server has the last word.
            commands = plan(claim, (await self._tools.client.list(PODS, key[0])).items)
        return await self._tools.perform(commands)


def _claims_of_pod(old: Object | None, new: Object | None) -> Iterable[Key]:
    """A claim may be free when its pod is gone or has been shut down."""
    pod = new if new is not None else old
    ends = new is None or new["metadata"].get("deletionGracePeriodSeconds") == 0
    if pod is not None and ends:
        yield from ((namespace_of(pod), name) for name in claim_names(pod))
