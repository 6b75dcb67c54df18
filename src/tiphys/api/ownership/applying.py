"""
Server-side apply: merge a configuration into an object, in the name of a manager, without taking what others own.

The applied configuration is everything that its manager wants. What it names is set and owned; what it named last time
and names no more is removed, unless somebody else owns it too; a change of what another manager owns is a conflict,
which `force` decides in favour of the applier.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tiphys.api.ownership import sets
from tiphys.api.ownership.comparing import Undeclared, compare, said_in
from tiphys.api.ownership.managers import APPLY, UPDATE, Manager, read, write
from tiphys.api.ownership.merging import merge, remove
from tiphys.api.ownership.recording import Writer, owned, untracked
from tiphys.api.ownership.sets import Fields
from tiphys.api.ownership.types import BadItem, zero_of
from tiphys.api.ownership.versions import differences, lost_with
from tiphys.api.schema.types import Message

Object = dict[str, Any]

# Who owns an object's fields when it is applied to for the first time and nobody was tracked.
BEFORE_FIRST = "before-first-apply"


class ApplyError(ValueError):
    """The configuration cannot be applied: a field that the schema does not have, or a list without its keys."""


class ApplyConflict(Exception):
    """Others own what would change: `conflicts` are (manager as shown, path)."""

    def __init__(self, conflicts: Sequence[tuple[str, str]]) -> None:
        self.conflicts = conflicts
        super().__init__(_message(conflicts))


def apply(
    live: Mapping[str, Any] | None, config: Object, message: Message, writer: Writer, *, force: bool = False
) -> Object:
    """
    The object after the apply, with its managedFields: not yet typed and without defaults. `live` None: it is created.

    Raises ApplyError and ApplyConflict.
    """
    base = dict(live) if live is not None else dict(zero_of(message))
    managers = _tracked(live, message, writer)
    base["metadata"] = {k: v for k, v in (base.get("metadata") or {}).items() if k != "managedFields"}
    said = _said(config, message)
    wanted = owned(said, writer)
    mine = Manager(writer.name, APPLY, writer.api_version, wanted, writer.time, writer.subresource)
    before = next((manager for manager in managers if manager.identity == mine.identity), None)
    others = [manager for manager in managers if manager is not before]
    try:
        result = merge(base, config, message)
        if before is not None:
            result = _pruned(result, before, [said, *(each.fields for each in others)], message, writer)
        changed, removed = compare(base, result, message)
    except BadItem as error:
        raise ApplyError(str(error)) from None
    changed = owned(changed, writer)
    elsewhere = {
        version: (owned(theirs, writer), gone)
        for version, (theirs, gone) in differences(live, result, others, writer.api_version).items()
    }
    here = (changed, removed)
    conflicts = [(each, sets.intersection(each.fields, elsewhere.get(each.api_version, here)[0])) for each in others]
    if not force and any(fields for _, fields in conflicts):
        raise ApplyConflict([(each.described, path) for each, fields in conflicts for path in sets.members(fields)])
    if not changed and not removed and result == base:
        # Only a change of the object has a time; who takes over what is there already has that of before, or none.
        mine = replace(mine, time=before.time if before is not None else "")
    left = [
        replace(each, fields=_lost(each, fields, elsewhere.get(each.api_version, here)[1]))
        for each, fields in conflicts
    ]
    entries = write([*left, mine])
    result["metadata"] = {**result["metadata"], **({"managedFields": entries} if entries else {})}
    return result


def _tracked(live: Mapping[str, Any] | None, message: Message, writer: Writer) -> list[Manager]:
    """The managers of the live object; one that stands for all who wrote unseen."""
    if live is None:
        return []
    managers = read(live["metadata"].get("managedFields"), stored=True) or []
    if managers:
        return managers
    fields = owned(compare(zero_of(message), untracked(live), message)[0], writer)
    return [Manager(BEFORE_FIRST, UPDATE, writer.api_version, fields, writer.time)] if fields else []


def _said(config: Object, message: Message) -> Fields:
    try:
        return said_in(config, message)
    except Undeclared as error:
        raise ApplyError(str(error)) from None


def _pruned(merged: Object, before: Manager, named: Sequence[Fields], message: Message, writer: Writer) -> Object:
    """Without what the manager named last time and nobody names now."""
    kept: Fields = {}
    for fields in named:
        kept = sets.union(kept, sets.with_containers(fields))
    lost = lost_with(before.fields, before.api_version, merged, writer.api_version, message)
    gone = sets.difference(sets.with_containers(before.fields if lost is None else lost), kept)
    return remove(merged, gone, message) if gone else merged


def _lost(manager: Manager, conflicts: Fields, removed: Fields) -> Fields:
    fields = sets.difference(manager.fields, conflicts) if conflicts else manager.fields
    return sets.difference(fields, removed) if removed else fields


def _message(conflicts: Sequence[tuple[str, str]]) -> str:
    if len(conflicts) == 1:
        return f"Apply failed with 1 conflict: conflict with {conflicts[0][0]}: {conflicts[0][1]}"
    lines = []
    for manager in sorted({manager for manager, _ in conflicts}):
        lines.append(f"conflicts with {manager}:")
        lines += [f"- {path}" for name, path in conflicts if name == manager]
    return f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
