"""Gather what the pods of a node use and what is attached to it, and perform the plan. Keys are nodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import is_deleting, key_of, name_of, namespace_of
from tiphys.api.pods import is_finished
from tiphys.api.storage import claim_names, is_bound
from tiphys.controllers.attachdetach.plan import (
    ATTACHMENTS,
    NODES,
    Facts,
    Wanted,
    attachment_name,
    is_exclusive,
    needs_attachment,
    plan,
)
from tiphys.reconcile.claims import BY_CLAIM, claim_index
from tiphys.reconcile.commands import Performed
from tiphys.reconcile.loop import Key, Loop
from tiphys.reconcile.nodes import BY_NODE, node_index
from tiphys.reconcile.tools import Tools

Object = dict[str, Any]

PODS = resources.get("", "v1", "pods")
CLAIMS = resources.get("", "v1", "persistentvolumeclaims")
VOLUMES = resources.get("", "v1", "persistentvolumes")
DRIVERS = resources.get("storage.k8s.io", "v1", "csidrivers")
BY_VOLUME = "volume"


class AttachDetachController:
    """Writes VolumeAttachments and `status.volumesAttached` of nodes."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        of = tools.informers.of
        self._pods, self._claims, self._volumes, self._nodes = of(PODS), of(CLAIMS), of(VOLUMES), of(NODES)
        self._drivers, self._attachments = of(DRIVERS), of(ATTACHMENTS)
        self._pods.add_index(BY_NODE, node_index)
        self._pods.add_index(BY_CLAIM, claim_index)
        self._attachments.add_index(BY_NODE, lambda one: [one["spec"]["nodeName"]])
        self._attachments.add_index(BY_VOLUME, _volume_of)
        self._unwanted_since: dict[str, float] = {}
        sources = {
            self._pods: self._nodes_of_pod,
            self._claims: self._nodes_of_claim,
            self._attachments: self._nodes_of_attachment,
            self._nodes: self._node,
        }
        # The drivers are read alone: one that comes later changes nothing for volumes that are attached.
        self._loop = Loop("attachdetach-controller", self._reconcile, sources, reads=(self._volumes, self._drivers))

    async def run(self) -> None:
        await self._loop.run()

    # what is due

    def _nodes_of_pod(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        for pod in (old, new):
            if pod is not None and pod["spec"].get("nodeName") and any(claim_names(pod)):
                yield "", pod["spec"]["nodeName"]

    def _nodes_of_claim(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        claim = new if new is not None else old
        if claim is not None:
            for pod in self._pods.by(BY_CLAIM, "/".join(key_of(claim))):
                yield from self._nodes_of_pod(None, pod)

    def _nodes_of_attachment(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        attachment = new if new is not None else old
        if attachment is None:
            return
        yield "", attachment["spec"]["nodeName"]
        if new is not None:
            return
        # Somebody may have waited for it to be free.
        volume = self._volumes.get("", next(iter(_volume_of(attachment)), ""))
        ref = (volume or {}).get("spec", {}).get("claimRef")
        for pod in self._pods.by(BY_CLAIM, f"{ref['namespace']}/{ref['name']}") if ref else ():
            yield from self._nodes_of_pod(None, pod)

    def _node(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        node = new if new is not None else old
        if node is not None and (new is None or _shown(old) != _shown(new)):
            yield "", name_of(node)

    # what is done

    async def _reconcile(self, key: Key) -> Performed | None:
        name, now = key[1], self._tools.now()
        wanted = list(self._wanted(name))
        attachments = list(self._attachments.by(BY_NODE, name))
        if not wanted and not attachments and not _has_told(self._nodes.get("", name)):
            return None
        self._note(name, wanted, attachments, now)
        volumes = {one: self._volumes.get("", one) for each in attachments for one in _volume_of(each)}
        known = {one: volume for one, volume in volumes.items() if volume is not None}
        facts = Facts(self._nodes.get("", name), wanted, attachments, known, dict(self._unwanted_since))
        return await self._tools.perform(plan(name, facts, now))

    def _note(self, node: str, wanted: list[Wanted], attachments: list[Object], now: float) -> None:
        """Since when nobody wants an attachment: how long a silent node is waited for."""
        needed = {attachment_name(one.volume, node) for one in wanted}
        for name in map(name_of, attachments):
            if name in needed:
                self._unwanted_since.pop(name, None)
            else:
                self._unwanted_since.setdefault(name, now)
        there = {name_of(each) for each in self._attachments.list()}
        for name in [name for name in self._unwanted_since if name not in there]:
            del self._unwanted_since[name]

    def _wanted(self, node: str) -> Iterator[Wanted]:
        """The volumes that living pods of the node use and that must be attached."""
        users: dict[str, list[Object]] = {}
        for pod in self._pods.by(BY_NODE, node):
            if is_finished(pod):
                continue
            for claim_name in claim_names(pod):
                claim = self._claims.get(namespace_of(pod), claim_name)
                if claim is not None and is_bound(claim):
                    users.setdefault(claim["spec"]["volumeName"], []).append(pod)
        for name, pods in users.items():
            volume = self._volumes.get("", name)
            driver = ((volume or {}).get("spec", {}).get("csi") or {}).get("driver", "")
            if volume is not None and needs_attachment(volume, self._drivers.get("", driver)):
                yield Wanted(volume, pods, self._elsewhere(volume, node))

    def _elsewhere(self, volume: Object, node: str) -> str:
        if not is_exclusive(volume):
            return ""
        held = (each["spec"]["nodeName"] for each in self._attachments.by(BY_VOLUME, name_of(volume)))
        return next((each for each in held if each != node), "")


def _volume_of(attachment: Object) -> Iterable[str]:
    name = attachment["spec"]["source"].get("persistentVolumeName")
    if name:
        yield name


def _shown(node: Object | None) -> tuple[Any, ...]:
    """What a decision looks at."""
    if node is None:
        return ()
    status = node.get("status") or {}
    ready = [one["status"] for one in status.get("conditions") or () if one["type"] == "Ready"]
    return (
        status.get("volumesInUse"),
        status.get("volumesAttached"),
        ready,
        node["spec"].get("taints"),
        is_deleting(node),
    )


def _has_told(node: Object | None) -> bool:
    return bool(((node or {}).get("status") or {}).get("volumesAttached"))
