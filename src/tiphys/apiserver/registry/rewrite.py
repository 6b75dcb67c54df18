"""Read, change and write one object for the server's own ends (binding, budgets): no strategy, no client's body."""

from __future__ import annotations

from collections.abc import Callable

from tiphys.api import errors
from tiphys.api.resources import Resource
from tiphys.apiserver.call import Object
from tiphys.apiserver.parts import Parts
from tiphys.apiserver.records import Record, encode, key_of
from tiphys.apiserver.registry import commit

RACES_MAX = 30


async def rewrite(
    parts: Parts,
    resource: Resource,
    namespace: str,
    name: str,
    change: Callable[[Object], None],
    *,
    dry_run: bool = False,
) -> Record:
    """
    Run `change` on a private copy of the newest version and store it, again after a lost race.

    `change` raises to refuse. 404 if the object is not there.
    """
    await parts.cache.caught_up()
    record = parts.cache.record(key_of(resource, namespace, name))
    for _ in range(RACES_MAX):
        if record is None:
            raise errors.not_found(resource.name, resource.group, name)
        obj = record.decode()
        change(obj)
        obj["metadata"].pop("resourceVersion", None)
        if dry_run:
            return Record(record.key, encode(obj), record.revision)
        try:
            return await commit.replace(parts, resource, record, obj)
        except commit.Raced as raced:
            record = raced.current
    raise commit.modified(resource, name)
