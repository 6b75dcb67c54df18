"""
Record what a create or an update owns: everything that it added or changed, taken away from whoever owned it.

Kubernetes' rules: an update never conflicts; the time of an entry is that of the last write that took a field; an
object whose managedFields somebody emptied is not tracked again until it is applied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from tiphys.api.ownership import sets
from tiphys.api.ownership.comparing import compare
from tiphys.api.ownership.managers import UPDATE, Manager, capped, read, write
from tiphys.api.ownership.sets import Fields
from tiphys.api.ownership.types import zero_of
from tiphys.api.ownership.versions import Differences, differences
from tiphys.api.schema.types import Message

Object = dict[str, Any]

# Never owned: identity, and what the server writes.
UNOWNED_METADATA = frozenset(
    f"f:{name}"
    for name in (
        "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation", "managedFields",
        "resourceVersion",
    )
)  # fmt: skip
UNOWNED = frozenset(("f:apiVersion", "f:kind"))


@dataclass(frozen=True, slots=True)
class Writer:
    """
    Who writes: `time` is RFC 3339 in whole seconds; `ignored` are the fields that this path never changes (status on
    the main path, spec on the status path).
    """

    name: str
    api_version: str
    time: str
    subresource: str = ""
    ignored: Fields | None = None


def record_update(old: Mapping[str, Any] | None, new: Object, message: Message, writer: Writer) -> None:
    """Write `metadata.managedFields` of `new` (in place). `old` None: it is created."""
    managers = _held(old, new, writer)
    new["metadata"].pop("managedFields", None)
    if old is not None and not managers:
        return
    removed: Fields = {}
    if old is None:
        changed = _created(new, message)
    else:
        changed, removed = compare(untracked(old), new, message)
    elsewhere = differences(old, new, managers, writer.api_version)
    managers = updated(managers, owned(changed, writer), removed, writer, elsewhere)
    if managers:
        new["metadata"]["managedFields"] = write(managers)


# What new objects own, by what they say without their names: a template is stamped out many times.
_STAMPS_MAX, _STAMP_BYTES_MAX = 256, 4_096


def _created(new: Object, message: Message) -> Fields:
    """Everything that a new object says. The name is never owned, so copies with other names own the same."""
    stamps = message.plans.setdefault("ownership stamps", {})
    assert isinstance(stamps, dict)
    metadata = {name: value for name, value in new["metadata"].items() if name != "name"}
    stamp = orjson.dumps({**new, "metadata": metadata})
    known: Fields | None = stamps.get(stamp)
    if known is None:
        known, _ = compare(zero_of(message), new, message)
        if len(stamp) <= _STAMP_BYTES_MAX:
            if len(stamps) >= _STAMPS_MAX:
                stamps.clear()
            stamps[stamp] = known
    return known


def untracked(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object without its managedFields, which are nobody's."""
    meta = obj["metadata"]
    if "managedFields" not in meta:
        return obj
    return {**obj, "metadata": {name: value for name, value in meta.items() if name != "managedFields"}}


def _held(old: Mapping[str, Any] | None, new: Mapping[str, Any], writer: Writer) -> list[Manager]:
    """The managers before this write: as the client left them, or as they were."""
    live = read(old["metadata"].get("managedFields"), stored=True) or [] if old is not None else []
    said = new["metadata"].get("managedFields")
    if writer.subresource or said is None:
        return live
    if said == [] or said == [{}]:
        return []
    return read(said) or live


def owned(changed: Fields, writer: Writer) -> Fields:
    """What of a difference can be owned on this path."""
    result = {element: node for element, node in changed.items() if element not in UNOWNED}
    meta = result.get("f:metadata")
    if meta is not None:
        left = {element: node for element, node in meta.items() if element not in UNOWNED_METADATA and element != "."}
        if left:
            result["f:metadata"] = left
        else:
            del result["f:metadata"]
    return sets.without(result, writer.ignored) if writer.ignored else result


def updated(
    managers: list[Manager], taken: Fields, removed: Fields, writer: Writer, elsewhere: Differences
) -> list[Manager]:
    """The managers after `writer` took some fields and others went away; `elsewhere` are those in other versions."""
    left = []
    for manager in managers:
        theirs, gone = elsewhere.get(manager.api_version, (taken, removed))
        fields = sets.difference(manager.fields, theirs) if theirs else manager.fields
        fields = sets.difference(fields, gone) if gone else fields
        left.append(manager if fields is manager.fields else replace(manager, fields=fields))
    if not taken:
        return [manager for manager in left if manager.fields]
    mine = Manager(writer.name, UPDATE, writer.api_version, taken, writer.time, writer.subresource)
    before = next((manager for manager in left if manager.identity == mine.identity), None)
    if before is not None:
        mine = replace(mine, fields=sets.union(before.fields, taken))
    others = [manager for manager in left if manager is not before and manager.fields]
    return capped([*others, mine])
