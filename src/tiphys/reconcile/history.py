"""
The templates that a StatefulSet or DaemonSet has had, as ControllerRevisions.

Each revision holds a patch that puts its template back, which is what `kubectl rollout undo` sends; the one with the
highest number carries the present template. Pure: what is there in, commands and answers out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import annotations_of, controller_of, key_of, labels_of, name_of, uid_of
from tiphys.api.own_annotations import NOTES
from tiphys.api.resources import Resource
from tiphys.reconcile.commands import Command, Create, Delete, Update
from tiphys.reconcile.ownership import owner_reference
from tiphys.reconcile.pod_template import HASH_LENGTH, NAME_MAX, hash_of

Object = dict[str, Any]

REVISIONS = resources.get("apps", "v1", "controllerrevisions")
# On pods: which revision they were made from.
POD_REVISION = "controller-revision-hash"
_NOT_COPIED = {"kubectl.kubernetes.io/last-applied-configuration", "deprecated.daemonset.template.generation", *NOTES}


@dataclass(frozen=True, slots=True)
class Recorded:
    """The revision of the present template, and what must be written so that the history shows it."""

    revision: Object
    commands: list[Command]


def record(owner: Object, revisions: Sequence[Object], label: str) -> Recorded:
    """
    Find the present template in the history, as the newest, or add it.

    A template that comes back takes its old revision with a new number: none is there twice. `label` is what the hash
    is under on the revision itself.
    """
    data = patch_of(owner)
    same = max((one for one in revisions if one.get("data") == data), key=by_number, default=None)
    latest = max((number_of(one) for one in revisions), default=0)
    if same is None:
        made = _new(owner, data, label, latest + 1)
        return Recorded(made, [Create(REVISIONS, made)])
    if number_of(same) < latest:
        return Recorded(same, [Update(REVISIONS, {**same, "revision": latest + 1})])
    return Recorded(same, [])


def patch_of(owner: Mapping[str, Any]) -> Object:
    """The strategic merge patch that puts the owner's present template back."""
    return {"spec": {"template": {**owner["spec"]["template"], "$patch": "replace"}}}


def template_of(revision: Mapping[str, Any]) -> Object:
    """The template that a revision holds."""
    template = revision["data"]["spec"]["template"]
    return {key: value for key, value in template.items() if key != "$patch"}


def number_of(revision: Mapping[str, Any]) -> int:
    return int(revision.get("revision") or 0)


def by_number(revision: Mapping[str, Any]) -> tuple[int, str, str]:
    """Oldest first; equal numbers by age and name, so that two plans never disagree."""
    meta = revision["metadata"]
    return number_of(revision), meta.get("creationTimestamp", ""), meta["name"]


def surplus(owner: Object, revisions: Sequence[Object], in_use: Collection[str]) -> list[Command]:
    """Forget the oldest beyond revisionHistoryLimit; those named `in_use` neither count nor go."""
    limit = owner["spec"].get("revisionHistoryLimit")
    if limit is None:
        return []
    idle = sorted((one for one in revisions if name_of(one) not in in_use), key=by_number)
    gone = idle[: max(len(idle) - limit, 0)]
    return [Delete(REVISIONS, key_of(one), uid_of(one)) for one in gone]


def next_name(resource: Resource, owner: Object, taken: Object | None) -> list[Command]:
    """
    The name of the new revision is taken: count on, so that the next plan gives it another name.

    Nothing when it is not there, or when it is the owner's own, which the cache did not show yet.
    """
    if taken is None:
        return []
    controller = controller_of(taken)
    if controller is not None and controller["uid"] == uid_of(owner) and taken.get("data") == patch_of(owner):
        return []
    status = {**(owner.get("status") or {}), "collisionCount": collisions(owner) + 1}
    return [Update(resource, {**owner, "status": status}, "status")]


def collisions(owner: Mapping[str, Any]) -> int:
    return int((owner.get("status") or {}).get("collisionCount") or 0)


def name_for(owner: Mapping[str, Any]) -> str:
    """The name of the revision of the present template."""
    return f"{owner['metadata']['name'][: NAME_MAX - HASH_LENGTH - 1]}-{_hash(owner)}"


def _hash(owner: Mapping[str, Any]) -> str:
    return hash_of(patch_of(owner), collisions(owner))


def _new(owner: Object, data: Object, label: str, number: int) -> Object:
    annotations = {key: value for key, value in annotations_of(owner).items() if key not in _NOT_COPIED}
    meta = {
        "name": name_for(owner),
        "namespace": owner["metadata"]["namespace"],
        "labels": {**_template_labels(owner), label: _hash(owner)},
        "ownerReferences": [owner_reference(owner)],
        **({"annotations": annotations} if annotations else {}),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": meta,
        "data": data,
        "revision": number,
    }


def _template_labels(owner: Mapping[str, Any]) -> Mapping[str, str]:
    template = owner["spec"]["template"]
    return labels_of(template) if "metadata" in template else {}
