"""
Bind a pod's claims before the pod: the volume or the node that was chosen for them is written, and then waited for.

The controller of volumes does the binding and whoever provisions makes the volume; the objects are all that is shared
with them. A claim's `volume.kubernetes.io/selected-node` that disappears again says: not on this node, choose another.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import annotations_of, name_of, revision_of, uid_of
from tiphys.client.client import Client
from tiphys.scheduler.queue import Waiting
from tiphys.scheduler.volumes import SELECTED_NODE, Choice, Volumes

Object = dict[str, Any]
Key = tuple[str, str]

BIND_SECONDS_MAX = 600.0
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"

CLAIMS = resources.get("", "v1", "persistentvolumeclaims")
VOLUMES = resources.get("", "v1", "persistentvolumes")


class NotBoundError(Exception):
    """A pod's claims could not be bound to what was chosen for them; the message says why."""


class VolumeBinder:
    """One for all pods. `changed` is told of every change of claims, and of pods that are gone."""

    def __init__(self, client: Client, volumes: Volumes) -> None:
        self._client = client
        self._volumes = volumes
        self._waiters: defaultdict[Key, set[asyncio.Event]] = defaultdict(set)

    def changed(self, key: Key) -> None:
        """A claim changed, or a pod that waits is gone."""
        for event in self._waiters.get(key, ()):
            event.set()

    async def bind(self, waiting: Waiting, key: Key, choices: Sequence[Choice], node: str) -> None:
        """Write the choices and wait until the claims are bound. NotBoundError, StatusError or OSError."""
        bell = asyncio.Event()
        keys = [key, *(choice.key for choice in choices)]
        for each in keys:
            self._waiters[each].add(bell)
        try:
            written = [(choice, await self._write(choice, node)) for choice in choices]
            async with asyncio.timeout(BIND_SECONDS_MAX):
                while not all(self._is_bound(choice, node, version) for choice, version in written):
                    if waiting.gone:
                        raise NotBoundError("the pod is gone")
                    bell.clear()
                    await bell.wait()
        except TimeoutError:
            raise NotBoundError("binding volumes: context deadline exceeded") from None
        finally:
            for each in keys:
                self._waiters[each].discard(bell)
                if not self._waiters[each]:
                    del self._waiters[each]

    async def _write(self, choice: Choice, node: str) -> int:
        """Tell the volume whose it is, or the claim where to be; the version from which on its claim says so."""
        claim = choice.claim
        if choice.volume is None:
            patch = {
                "metadata": {
                    "uid": uid_of(claim),
                    "resourceVersion": revision_of(claim),
                    "annotations": {SELECTED_NODE: node},
                }
            }
            return int(revision_of(await self._client.patch(CLAIMS, choice.key, patch)))
        said = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": choice.key[0], "name": choice.key[1]}
        said |= {"uid": uid_of(claim), "resourceVersion": revision_of(claim)}
        patch = {
            "metadata": {
                "uid": uid_of(choice.volume),
                "resourceVersion": revision_of(choice.volume),
                "annotations": {BOUND_BY_CONTROLLER: "yes"},
            },
            "spec": {"claimRef": said},
        }
        await self._client.patch(VOLUMES, ("", name_of(choice.volume)), patch)
        return 0

    def _is_bound(self, choice: Choice, node: str, version: int) -> bool:
        claim = self._volumes.claims.get(choice.key)
        shown = f'"{choice.key[0]}/{choice.key[1]}"'
        if claim is None or uid_of(claim) != uid_of(choice.claim):
            raise NotBoundError(f"binding volumes: claim {shown} is gone")
        if self._volumes.is_bound(claim):
            self._check_place(claim, node)
            return True
        said = annotations_of(claim).get(SELECTED_NODE, "")
        if choice.volume is None and said != node and int(revision_of(claim)) >= version:
            raise NotBoundError(f"binding volumes: provisioning failed for PVC {shown}")
        return False

    def _check_place(self, claim: Object, node: str) -> None:
        """A volume that was made somewhere else is of no use to the pod."""
        name = claim["spec"]["volumeName"]
        volume, row = self._volumes.volume(name), self._volumes.world.table.row_of.get(node)
        terms = ((volume or {"spec": {}})["spec"].get("nodeAffinity") or {}).get("required")
        if terms and (row is None or not self._volumes.masks.of(terms.get("nodeSelectorTerms") or ())[row]):
            why = f'pv "{name}" node affinity doesn\'t match node "{node}"'
            raise NotBoundError(f"binding volumes: {why}")
