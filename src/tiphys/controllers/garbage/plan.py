"""
Decide what becomes of one object in view of its owners and dependents.

Pure. The rules of Kubernetes: an object goes once all its owners are gone; a reference to a gone owner is dropped while
another owner lives; an owner deleted in the foreground waits for the dependents that block it; one deleted with
`orphan` sets its dependents free first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from tiphys.client.client import STRATEGIC_PATCH
from tiphys.controllers.garbage.graph import FOREGROUND, ORPHAN, Item
from tiphys.reconcile.commands import Command, Delete, Patch


class Owned(Enum):
    """How an owner stands: it lives, it is gone, or it waits (in the foreground) for its dependents to go."""

    LIVES = "lives"
    GONE = "gone"
    WAITS = "waits"


def plan(item: Item, owners: Mapping[str, Owned], dependents: Sequence[Item]) -> list[Command]:
    """`owners` says how each uid of `item.owners` stands; `dependents` are those that name `item` as an owner."""
    if item.frees_dependents:
        free = [_without_owners(dependent, {item.uid}) for dependent in dependents]
        return [*free, _without_finalizer(item, ORPHAN)]
    if item.waits_for_dependents:
        return [] if any(blocks(dependent, item.uid) for dependent in dependents) else [
            _without_finalizer(item, FOREGROUND)
        ]  # fmt: skip
    if item.deleting or not item.owners:
        return []
    return _by_owners(item, owners, dependents)


def blocks(dependent: Item, owner_uid: str) -> bool:
    """Whether the owner must outlive this dependent."""
    return any(owner["uid"] == owner_uid and owner.get("blockOwnerDeletion") for owner in dependent.owners)


def due_with(item: Item, dependents: Sequence[Item]) -> list[Item]:
    """The dependents to look at because `item` waits for them."""
    return [dependent for dependent in dependents if not dependent.deleting] if item.waits_for_dependents else []


def _by_owners(item: Item, owners: Mapping[str, Owned], dependents: Sequence[Item]) -> list[Command]:
    standing = {owner["uid"]: owners.get(owner["uid"], Owned.LIVES) for owner in item.owners}
    if Owned.LIVES in standing.values():
        leaving = {uid for uid, owned in standing.items() if owned is not Owned.LIVES}
        return [_without_owners(item, leaving)] if leaving else []
    if Owned.WAITS in standing.values() and dependents:
        # Its own dependents go before it does, so that nothing below outlives what is above.
        return [_delete(item, "Foreground")]
    if ORPHAN in item.finalizers:
        return [_delete(item, "Orphan")]
    if FOREGROUND in item.finalizers:
        return [_delete(item, "Foreground")]
    return [_delete(item, "Background")]


def _delete(item: Item, propagation: str) -> Delete:
    return Delete(item.resource, item.key, item.uid, propagation=propagation)


def _without_owners(item: Item, uids: set[str]) -> Patch:
    references = [{"$patch": "delete", "uid": uid} for uid in sorted(uids)]
    meta = {"uid": item.uid, "ownerReferences": references}
    return Patch(item.resource, item.key, {"metadata": meta}, media_type=STRATEGIC_PATCH)


def _without_finalizer(item: Item, finalizer: str) -> Patch:
    kept = [held for held in item.finalizers if held != finalizer]
    meta = {"uid": item.uid, "resourceVersion": item.version, "finalizers": kept or None}
    return Patch(item.resource, item.key, {"metadata": meta})
