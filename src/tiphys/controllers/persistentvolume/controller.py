"""
Gather the facts about a claim or a volume and perform its plan.

Claims go one after another: two that looked for a volume at the same moment could choose the same one. A volume that is
reserved wakes its claim, and the other way round; claims that wait for any volume are woken by each that is offered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from tiphys.api import resources
from tiphys.api.errors import StatusError
from tiphys.api.objects import annotations_of, is_deleting, key_of, labels_of, name_of, uid_of
from tiphys.api.storage import (
    BIND_COMPLETED,
    LOCAL_PATH,
    NODE_LABEL,
    SELECTED_NODE,
    class_of,
    default_class,
    phase_of,
)
from tiphys.controllers.persistentvolume import claims, volumes
from tiphys.controllers.persistentvolume.claims import CLAIMS, VOLUMES, Facts
from tiphys.reconcile.claims import BY_CLAIM, claim_index
from tiphys.reconcile.commands import Performed
from tiphys.reconcile.loop import Key, Loop, own_key
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

PODS = resources.get("", "v1", "pods")
NODES = resources.get("", "v1", "nodes")
CLASSES = resources.get("storage.k8s.io", "v1", "storageclasses")
BY_REFERENCE = "claim reference"
BY_NODE = "node of a local-path volume"
UNBOUND = "unbound"


class PersistentVolumeController:
    """Writes `spec.claimRef` and the status of volumes, `spec.volumeName` and phase, modes and capacity of claims."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        of = tools.informers.of
        self._claims, self._volumes, self._classes = of(CLAIMS), of(VOLUMES), of(CLASSES)
        self._pods, self._nodes = of(PODS), of(NODES)
        self._pods.add_index(BY_CLAIM, claim_index)
        self._claims.add_index(UNBOUND, _unbound)
        self._volumes.add_index(BY_REFERENCE, _referred)
        self._volumes.add_index(BY_NODE, _deleting_on)
        self._claim_loop = Loop(
            "persistentvolume-binder claims",
            self._reconcile_claim,
            {self._claims: own_key, self._volumes: self._claims_of_volume, self._classes: self._all_unbound},
            reads=(self._pods, self._nodes),
            workers=1,
        )
        sources = {self._volumes: own_key, self._claims: self._volumes_of_claim, self._nodes: self._volumes_of_node}
        self._volume_loop = Loop("persistentvolume-binder volumes", self._reconcile_volume, sources)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._claim_loop.run())
            group.create_task(self._volume_loop.run())

    # what is due

    def _claims_of_volume(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        for volume in (old, new):
            ref = (volume or {}).get("spec", {}).get("claimRef")
            if ref:
                yield ref["namespace"], ref["name"]
        for claim in self._claims.list() if new is None and old is not None else ():
            if claim["spec"].get("volumeName") == name_of(old or {}):
                yield key_of(claim)
        if new is not None and not new["spec"].get("claimRef") and phase_of(new) == "Available":
            yield from self._all_unbound(None, None)

    def _all_unbound(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        yield from (key_of(claim) for claim in self._claims.by(UNBOUND, UNBOUND))

    def _volumes_of_claim(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        claim = new if new is not None else old
        if claim is None:
            return
        yield from (key_of(volume) for volume in self._volumes.by(BY_REFERENCE, "/".join(key_of(claim))))

    def _volumes_of_node(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        if new is None and old is not None:
            yield from (key_of(volume) for volume in self._volumes.by(BY_NODE, name_of(old)))

    # what is done

    async def _reconcile_claim(self, key: Key) -> Performed | None:
        claim = self._claims.get(*key)
        if claim is None:
            return None
        return await self._tools.perform(claims.plan(claim, self._facts(claim)))

    def _facts(self, claim: Object) -> Facts:
        spec = claim["spec"]
        if spec.get("volumeName"):
            return Facts(named=self._volumes.get("", spec["volumeName"]))
        default = default_class(self._classes.list())
        using = self._pods.by(BY_CLAIM, "/".join(key_of(claim)))
        node = annotations_of(claim).get(SELECTED_NODE)
        return Facts(
            volumes=list(self._volumes.list()),
            storage_class=self._classes.get("", class_of(claim)) if class_of(claim) else None,
            default=name_of(default) if default is not None else "",
            waiting_pods=[name_of(pod) for pod in using if not pod["spec"].get("nodeName")],
            node=self._nodes.get("", node) if node else None,
        )

    async def _reconcile_volume(self, key: Key) -> Performed | None:
        volume = self._volumes.get(*key)
        if volume is None:
            return None
        gone = any([await self._is_gone(node) for node in _deleting_on(volume)])
        commands = volumes.plan(volume, await self._claim_of(volume), node_gone=gone)
        return await self._tools.perform(commands)

    async def _is_gone(self, node: str) -> bool:
        """Whether the server itself says that the node is not there: its data are given up then."""
        if self._nodes.get("", node) is not None:
            return False
        return not (await self._tools.client.list(NODES, fieldSelector=f"metadata.name={node}")).items

    async def _claim_of(self, volume: Object) -> Object | None:
        """Before a claim is taken for gone, the server is asked: what follows may remove data."""
        ref = volume["spec"].get("claimRef") or {}
        if not ref.get("uid"):
            return None
        claim = self._claims.get(ref["namespace"], ref["name"])
        if claim is not None and uid_of(claim) == ref["uid"]:
            return claim
        if phase_of(volume) in ("Released", "Failed"):
            return claim
        try:
            return await self._tools.client.get(CLAIMS, ref["name"], ref["namespace"])
        except StatusError as error:
            if error.code != 404:
                raise
            return None


def _unbound(claim: Object) -> Iterable[str]:
    if BIND_COMPLETED not in annotations_of(claim):
        yield UNBOUND


def _referred(volume: Object) -> Iterable[str]:
    ref = volume["spec"].get("claimRef")
    if ref:
        yield f"{ref.get('namespace')}/{ref.get('name')}"


def _deleting_on(volume: Object) -> Iterable[str]:
    """The node whose word a deleted local-path volume waits for."""
    waits = is_deleting(volume) and LOCAL_PATH in (volume["metadata"].get("finalizers") or ())
    if waits and labels_of(volume).get(NODE_LABEL):
        yield labels_of(volume)[NODE_LABEL]
