"""
Decide which volumes of CSI drivers are attached to one node. Pure.

Attaching is a VolumeAttachment: the driver's own controller acts on it and says in its status when it is done. A volume
is taken from a node in an order that loses no data: the node is no longer told of it, nobody uses it there any more
(`volumesInUse`), then the VolumeAttachment is deleted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import condition_of, is_deleting, name_of, uid_of
from tiphys.reconcile.commands import Command, Create, Delete, Patch, Requeue, Say

Object = dict[str, Any]

ATTACHMENTS = resources.get("storage.k8s.io", "v1", "volumeattachments")
NODES = resources.get("", "v1", "nodes")
SHARED_MODES = frozenset(("ReadWriteMany", "ReadOnlyMany"))
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
# A node that does not answer may hold a volume for ever: after this long it is taken away, as Kubernetes does.
FORCE_AFTER_SECONDS = 360.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A volume that pods of the node use. `elsewhere`: a node that it is attached to, if it can only be at one."""

    volume: Object
    pods: Sequence[Object] = ()
    elsewhere: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """
    `wanted` and `attachments` of the node; `volumes`: those that attachments are of, by name. `unwanted_since`: when an
    attachment was first seen without a pod, by name.
    """

    node: Object | None
    wanted: Sequence[Wanted] = ()
    attachments: Sequence[Object] = ()
    volumes: Mapping[str, Object] = field(default_factory=dict)
    unwanted_since: Mapping[str, float] = field(default_factory=dict)


def plan(name: str, facts: Facts, now: float) -> list[Command]:
    """For the node of that name, which may be gone."""
    if facts.node is None:
        return [_detach(one) for one in facts.attachments if not is_deleting(one)]
    held = {name_of(one): one for one in facts.attachments}
    asked = {attachment_name(one.volume, name): one for one in facts.wanted}
    leaving = [one for key, one in held.items() if key not in asked and not is_deleting(one)]
    told = _told(facts, asked)
    return [
        *_tell(facts.node, told, asked, facts),
        *(command for key, one in asked.items() for command in _attach(name, one, held.get(key))),
        *(command for one in leaving for command in _let_go(facts, one, now)),
    ]


def _attach(node: str, wanted: Wanted, present: Object | None) -> list[Command]:
    volume = name_of(wanted.volume)
    if present is not None:
        error = (present.get("status") or {}).get("attachError") or {}
        if not error.get("message") or is_deleting(present):
            return []
        text = f'AttachVolume.Attach failed for volume "{volume}" : rpc error: {error["message"]}'
        return [Say(pod, "Warning", "FailedAttachVolume", text) for pod in wanted.pods]
    if wanted.elsewhere:
        taken = "Volume is already exclusively attached to one node and can't be attached to another"
        text = f'Multi-Attach error for volume "{volume}" {taken}'
        return [Say(pod, "Warning", "FailedAttachVolume", text) for pod in wanted.pods]
    spec = {
        "attacher": wanted.volume["spec"]["csi"]["driver"],
        "nodeName": node,
        "source": {"persistentVolumeName": volume},
    }
    made: Object = {"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment"}
    made |= {"metadata": {"name": attachment_name(wanted.volume, node)}, "spec": spec}
    return [Create(ATTACHMENTS, made, exists_ok=True)]


def _let_go(facts: Facts, attachment: Object, now: float) -> list[Command]:
    """When the node neither uses the volume nor is told of it; or when the node cannot be waited for."""
    assert facts.node is not None
    status = facts.node.get("status") or {}
    unique = _unique_name(facts, attachment)
    in_use = unique in (status.get("volumesInUse") or ())
    if not in_use or _is_out_of_service(facts.node):
        return [_detach(attachment)]
    if _is_ready(facts.node):
        return []  # it will say so when it has unmounted
    left = facts.unwanted_since.get(name_of(attachment), now) + FORCE_AFTER_SECONDS - now
    return [Requeue(left)] if left > 0 else [_detach(attachment)]


def _detach(attachment: Object) -> Command:
    return Delete(ATTACHMENTS, ("", name_of(attachment)), uid_of(attachment))


# what the node is told


def _told(facts: Facts, asked: Mapping[str, Wanted]) -> list[Object]:
    """`status.volumesAttached`: what is attached and wanted here, in a steady order."""
    ready = [one for one in facts.attachments if name_of(one) in asked and not is_deleting(one)]
    names = {_unique_name(facts, one) for one in ready if (one.get("status") or {}).get("attached")}
    return [{"name": name, "devicePath": ""} for name in sorted(names) if name]


def _tell(node: Object, told: list[Object], asked: Mapping[str, Wanted], facts: Facts) -> list[Command]:
    before = (node.get("status") or {}).get("volumesAttached") or []
    known = {one["name"] for one in before}
    names = {one["name"] for one in told}
    if known == names:
        return []
    change = {"metadata": {"uid": uid_of(node)}, "status": {"volumesAttached": told or None}}
    news = [one for one in asked.values() if unique_name(one.volume) in names - known]
    return [Patch(NODES, ("", name_of(node)), change, "status"), *_attached(news)]


def _attached(news: Iterable[Wanted]) -> list[Command]:
    return [
        Say(
            pod,
            "Normal",
            "SuccessfulAttachVolume",
            f'AttachVolume.Attach succeeded for volume "{name_of(one.volume)}" ',
        )
        for one in news
        for pod in one.pods
    ]


def _unique_name(facts: Facts, attachment: Object) -> str:
    source = attachment["spec"]["source"].get("persistentVolumeName") or ""
    volume = facts.volumes.get(source)
    return unique_name(volume) if volume is not None else ""


def _is_ready(node: Object) -> bool:
    return (condition_of(node, "Ready") or {}).get("status") == "True"


def _is_out_of_service(node: Object) -> bool:
    taints = node["spec"].get("taints") or ()
    return not _is_ready(node) and any(taint["key"] == OUT_OF_SERVICE for taint in taints)


# names


def attachment_name(volume: Mapping[str, Any], node: str) -> str:
    """Of the one VolumeAttachment that there can be for a volume on a node: drivers' own tools make it the same way."""
    source = volume["spec"]["csi"]
    whole = f"{source['volumeHandle']}{source['driver']}{node}"
    return f"csi-{hashlib.sha256(whole.encode()).hexdigest()}"


def unique_name(volume: Mapping[str, Any]) -> str:
    """How a node and we speak of a volume."""
    source = volume["spec"].get("csi")
    return f"kubernetes.io/csi/{source['driver']}^{source['volumeHandle']}" if source else ""


def needs_attachment(volume: Mapping[str, Any] | None, driver: Mapping[str, Any] | None) -> bool:
    """A driver that says nothing of itself is attached."""
    if volume is None or not volume["spec"].get("csi"):
        return False
    return bool(driver is None or driver["spec"].get("attachRequired", True))


def is_exclusive(volume: Mapping[str, Any]) -> bool:
    """Whether the volume can be at one node at a time."""
    return not SHARED_MODES & set(volume["spec"].get("accessModes") or ())
