"""
Entries of another version: what an entry names is meant in its own apiVersion, and must be compared in that.

Few kinds have several versions; where there is one, nothing here costs more than a look at the entries' versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tiphys.api import convert, resources, schema
from tiphys.api.ownership.comparing import compare
from tiphys.api.ownership.managers import Manager
from tiphys.api.ownership.merging import remove
from tiphys.api.ownership.sets import Fields
from tiphys.api.schema.types import Message

Object = dict[str, Any]
# apiVersion → (added or changed, removed) in that version.
Differences = Mapping[str, tuple[Fields, Fields]]


def differences(
    old: Mapping[str, Any] | None, new: Mapping[str, Any], managers: Iterable[Manager], written_in: str
) -> Differences:
    """How two versions of an object differ as the entries of other versions than `written_in` see it."""
    others = {manager.api_version for manager in managers if manager.api_version != written_in}
    if not others or old is None:
        return {}
    found = {}
    for version in others:
        message = _message_in(version, new, written_in)
        if message is not None:
            found[version] = compare(_in(version, old, written_in), _in(version, new, written_in), message)
    return found


def lost_with(fields: Fields, version: str, merged: Object, written_in: str, message: Message) -> Fields | None:
    """What of `merged` goes when fields that are meant in another version go. None if there is no such version."""
    their_message = _message_in(version, merged, written_in)
    if their_message is None:
        return None
    without = remove(_in(version, merged, written_in), fields, their_message)
    return compare(merged, _in(written_in, without, version), message)[1]


def _message_in(version: str, obj: Mapping[str, Any], written_in: str) -> Message | None:
    """The type of the object's kind in `version`, if the kind can be converted there and back."""
    kind = str(obj.get("kind", ""))
    if version == written_in or not convert.is_known(kind, written_in, version):
        return None
    group, _, number = version.rpartition("/")
    return schema.message_of(group, number, kind)


def _in(version: str, obj: Mapping[str, Any], said: str) -> Object:
    resource = resources.of_kind(version, str(obj["kind"]))
    assert resource is not None
    return convert.convert({**obj, "apiVersion": obj.get("apiVersion") or said}, resource)
