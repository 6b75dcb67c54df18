"""
Who owns what: owner references, adoption of matching orphans, release of what no longer matches.

Rules of Kubernetes: an object has at most one controlling owner; a controller adopts an orphan that its selector
matches, releases what it owns and no longer matches, and touches neither while it is being deleted itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tiphys.api.objects import controller_of, is_deleting, key_of, namespace_of, uid_of
from tiphys.api.resources import Resource
from tiphys.client.client import STRATEGIC_PATCH
from tiphys.client.informer import Informer
from tiphys.reconcile.commands import Command, Patch

Object = dict[str, Any]


BY_CONTROLLER = "controller"


def controller_index(obj: Object) -> Iterable[str]:
    """Files an object under its controller's uid, or with the orphans of its namespace."""
    controller = controller_of(obj)
    yield str(controller["uid"]) if controller is not None else f"orphans of {namespace_of(obj)}"


def within_reach(informer: Informer, owner: Mapping[str, Any]) -> list[Object]:
    """What `owner` may claim: its own objects and its namespace's orphans. Needs the BY_CONTROLLER index."""
    orphans = informer.by(BY_CONTROLLER, f"orphans of {namespace_of(owner)}")
    return [*informer.by(BY_CONTROLLER, uid_of(owner)), *orphans]


def owner_reference(owner: Mapping[str, Any]) -> Object:
    """The controlling reference to `owner`, which carries apiVersion and kind."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


@dataclass(frozen=True, slots=True)
class Claim:
    """`owned` are the objects that belong to the owner now; `commands` adopt and release."""

    owned: list[Object]
    commands: list[Command]


def claim(
    owner: Mapping[str, Any],
    resource: Resource,
    objects: Iterable[Object],
    matches: Callable[[Object], bool],
    *,
    finalizer: str = "",
) -> Claim:
    """
    Sort `objects` (of `resource`, in the owner's namespace) into owned, to adopt and to release.

    `finalizer` is what the owner's objects carry: it comes with the adoption and goes with the release.
    """
    uid, going = uid_of(owner), is_deleting(owner)
    owned: list[Object] = []
    commands: list[Command] = []
    for obj in objects:
        controller = controller_of(obj)
        if controller is not None:
            if controller["uid"] != uid:
                continue
            if matches(obj):
                owned.append(obj)
            elif not going:
                commands.append(_release(resource, obj, uid, finalizer))
        elif not going and not is_deleting(obj) and matches(obj):
            owned.append(obj)
            commands.append(_adopt(resource, obj, owner, finalizer))
    return Claim(owned, commands)


def _adopt(resource: Resource, obj: Object, owner: Mapping[str, Any], finalizer: str) -> Command:
    meta = {"uid": uid_of(obj), "ownerReferences": [owner_reference(owner)]}
    if finalizer:
        meta["finalizers"] = [finalizer]
    return Patch(resource, key_of(obj), {"metadata": meta}, media_type=STRATEGIC_PATCH)


def _release(resource: Resource, obj: Object, owner_uid: str, finalizer: str) -> Command:
    meta = {"uid": uid_of(obj), "ownerReferences": [{"$patch": "delete", "uid": owner_uid}]}
    if finalizer:
        meta["$deleteFromPrimitiveList/finalizers"] = [finalizer]
    return Patch(resource, key_of(obj), {"metadata": meta}, media_type=STRATEGIC_PATCH)
