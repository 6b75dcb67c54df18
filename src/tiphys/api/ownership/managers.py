"""The managers of an object: metadata.managedFields read, changed and written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tiphys.api.ownership import sets
from tiphys.api.ownership.sets import Fields

Object = dict[str, Any]

APPLY, UPDATE = "Apply", "Update"
# Updaters beyond this number are put together, oldest first.
UPDATERS_MAX = 10
ANCIENT = "ancient-changes"


@dataclass(frozen=True, slots=True)
class Manager:
    """One entry. `time` is RFC 3339 in whole seconds, "" if it says none."""

    name: str
    operation: str
    api_version: str
    fields: Fields
    time: str = ""
    subresource: str = ""

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """Who it is: an applier is the same in every version."""
        version = "" if self.operation == APPLY else self.api_version
        return self.name, self.operation, version, self.subresource

    @property
    def described(self) -> str:
        """As a conflict names it."""
        text = f'"{self.name}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        if self.operation == UPDATE:
            text += f" using {self.api_version}"
        return text


def read(entries: Iterable[Mapping[str, Any]] | None, *, stored: bool = False) -> list[Manager] | None:
    """The managers, or None if any entry is invalid. Entries that are `stored` were checked when they were written."""
    found = []
    for entry in entries or ():
        fields = entry.get("fieldsV1")
        fields = {} if fields is None else fields
        valid = (
            entry.get("operation") in (APPLY, UPDATE) and entry.get("apiVersion") and (stored or sets.is_valid(fields))
        )
        if not valid or entry.get("fieldsType") != "FieldsV1":
            return None
        names = entry.get("manager", ""), entry["operation"], entry["apiVersion"]
        found.append(Manager(*names, fields, entry.get("time") or "", entry.get("subresource", "")))
    return found


def write(managers: Iterable[Manager]) -> list[Object]:
    """The entries, sorted as Kubernetes sorts them; managers that own nothing are left out."""
    kept = [manager for manager in managers if manager.fields]
    kept.sort(key=lambda m: (m.operation, m.time, m.name, m.api_version, m.subresource))
    return [_entry(manager) for manager in kept]


def _entry(manager: Manager) -> Object:
    entry: Object = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": manager.api_version,
    }
    if manager.time:
        entry["time"] = manager.time
    entry |= {"fieldsType": "FieldsV1", "fieldsV1": manager.fields}
    if manager.subresource:
        entry["subresource"] = manager.subresource
    return entry


def capped(managers: list[Manager]) -> list[Manager]:
    """At most ten updaters: the oldest ones of a version become one."""
    updaters = [manager for manager in managers if manager.operation == UPDATE and manager.fields]
    excess = len(updaters) - UPDATERS_MAX
    if excess <= 0:
        return managers
    updaters.sort(key=lambda m: (m.time, m.name, m.api_version, m.subresource))
    old: dict[str, Manager] = {}
    for manager in updaters[: excess + 1]:
        bucket = old.get(manager.api_version)
        fields = manager.fields if bucket is None else sets.union(bucket.fields, manager.fields)
        old[manager.api_version] = replace(manager, name=ANCIENT, fields=fields, subresource="")
        managers = [each for each in managers if each is not manager]
    return [*managers, *old.values()]
