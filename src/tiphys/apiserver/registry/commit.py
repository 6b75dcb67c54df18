"""
Bring a decided object into the store, or answer as if (dry run).

Values are encoded once here; the Record that answers the request is made of the same bytes that are stored.
"""

from __future__ import annotations

from tiphys.api import errors
from tiphys.api.resources import Resource
from tiphys.apiserver.call import Object
from tiphys.apiserver.parts import Parts
from tiphys.apiserver.records import Record, encode
from tiphys.store.door import Conflict, Damaged, Unavailable

MODIFIED_TEXT = "the object has been modified; please apply your changes to the latest version and try again"

# What a Record has more than the stored value, but for the digits.
_REVISION_LENGTH = len(',"resourceVersion":""')


class Raced(Exception):
    """Somebody else wrote first; `current` is what is there now, None if it is gone."""

    def __init__(self, current: Record | None) -> None:
        super().__init__("raced")
        self.current = current


def _seals(resource: Resource) -> bool:
    return resource.name == "secrets" and not resource.group


def _value(parts: Parts, resource: Resource, key: str, plain: bytes) -> bytes:
    return parts.sealer.seal(key, plain) if _seals(resource) else plain


async def insert(parts: Parts, resource: Resource, key: str, obj: Object) -> Record:
    """Store a new object. KeyExists if the key is taken."""
    plain = encode(obj)
    try:
        revision = await parts.store.create(key, _value(parts, resource, key, plain))
    except (Unavailable, Damaged) as error:
        raise cannot_store(error) from error
    return Record(key, plain, revision)


async def replace(parts: Parts, resource: Resource, old: Record, obj: Object) -> Record:
    """Store a new version of what `old` is; nothing is written if nothing differs. Raced if it moved on."""
    return await replace_encoded(parts, resource, old, encode(obj))


async def replace_encoded(parts: Parts, resource: Resource, old: Record, plain: bytes) -> Record:
    """The same with a value that is encoded already."""
    if is_same(old, plain):
        return old
    try:
        revision = await parts.store.update(old.key, _value(parts, resource, old.key, plain), old.revision)
    except Conflict as conflict:
        raise Raced(_entry_record(parts, conflict)) from None
    except (Unavailable, Damaged) as error:
        raise cannot_store(error) from error
    return Record(old.key, plain, revision)


async def remove(parts: Parts, old: Record) -> Record:
    """Delete what `old` is; the answer is its last state at the revision of the delete. Raced if it moved on."""
    try:
        revision = await parts.store.delete(old.key, old.revision)
    except Conflict as conflict:
        raise Raced(_entry_record(parts, conflict)) from None
    except (Unavailable, Damaged) as error:
        raise cannot_store(error) from error
    return Record(old.key, encode(old.object), revision)


def is_same(old: Record, plain: bytes) -> bool:
    """Whether a value is what is stored already."""
    if len(plain) + _REVISION_LENGTH + len(str(old.revision)) != len(old.head) + len(old.tail):
        return False
    return Record(old.key, plain, old.revision).body == old.body


def _entry_record(parts: Parts, conflict: Conflict) -> Record | None:
    entry = conflict.current
    if entry is None:
        return None
    value = entry.value if entry.value.startswith(b"{") else parts.sealer.open(entry.key, entry.value)
    return Record(entry.key, value, entry.revision)


def cannot_store(error: Exception) -> errors.StatusError:
    """Writes are refused by the medium; reads go on."""
    return errors.unavailable(f"the store cannot write now: {error}")


def modified(resource: Resource, name: str) -> errors.StatusError:
    """409: the client's version is not the newest."""
    return errors.conflict(resource.name.partition("/")[0], resource.group, name, MODIFIED_TEXT)


def taken(resource: Resource, name: str) -> errors.StatusError:
    return errors.already_exists(resource.name, resource.group, name)
