"""
Who owns the replicas of a workload, seen through its Scale: the entries translated to the Scale and back.

The Scale's path stands for one field of the workload. Whoever took it through the Scale owns it in the workload, in an
entry that has no time, as Kubernetes writes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from tiphys.api.ownership import sets
from tiphys.api.ownership.managers import Manager, read, write
from tiphys.api.ownership.sets import Fields

Object = dict[str, Any]
Entries = Iterable[Mapping[str, Any]] | None

REPLICAS: Fields = {"f:spec": {"f:replicas": {}}}


def entries_of_scale(entries: Entries) -> list[Object]:
    """The managers of a workload that own its replicas, as managers of its Scale."""
    managers = read(entries, stored=True) or []
    return write(replace(manager, fields=REPLICAS) for manager in managers if _owns_replicas(manager))


def entries_of_workload(entries: Entries, of_scale: Entries, api_version: str) -> list[Object]:
    """The managers of the workload (of that version) after a write to its Scale that left the managers `of_scale`."""
    owners = {manager.identity: manager for manager in read(of_scale, stored=True) or [] if _owns_replicas(manager)}
    result = []
    for manager in read(entries, stored=True) or []:
        if _owns_replicas(manager) and owners.pop(manager.identity, None) is None:
            manager = replace(manager, fields=sets.difference(manager.fields, REPLICAS))
        result.append(manager)
    result += [replace(each, fields=REPLICAS, time="", api_version=api_version) for each in owners.values()]
    return write(result)


def _owns_replicas(manager: Manager) -> bool:
    return bool(sets.intersection(manager.fields, REPLICAS))
