"""
What is served: every built-in resource with its group, versions, verbs, scope, short names and categories.

`data/resources.json` holds what Kubernetes v1.36 serves (its discovery documents); this module turns it into records
and answers look-ups by path and by kind. Custom resources add records of the same type.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import resources as package_files

import orjson


@dataclass(frozen=True, slots=True)
class Resource:
    """One served resource (or subresource, `name` is then `pods/status`)."""

    group: str
    version: str
    name: str
    kind: str
    namespaced: bool
    verbs: tuple[str, ...] = ()
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    preferred: bool = True
    kind_group: str = ""  # the group of `kind` where it is not `group` (Scale, Eviction, TokenRequest)

    def __hash__(self) -> int:
        # Many tables are keyed by resource: one look must not hash all the fields.
        return hash((self.name, self.version, self.group))

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        """`/api/v1` or `/apis/apps/v1`."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The request path of a collection or an object."""
        parts = [self.root]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.name)
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)


@functools.cache
def builtin() -> tuple[Resource, ...]:
    """Every built-in resource and subresource, in discovery's order."""
    raw = package_files.files("tiphys.api").joinpath("data/resources.json").read_bytes()
    return tuple(
        Resource(
            group=item["group"],
            version=item["version"],
            name=item["name"],
            kind=item["kind"],
            namespaced=item["namespaced"],
            verbs=tuple(item["verbs"]),
            singular=item.get("singularName", ""),
            short_names=tuple(item.get("shortNames", ())),
            categories=tuple(item.get("categories", ())),
            preferred=item["preferred"],
            kind_group=item.get("kindGroup", ""),
        )
        for item in orjson.loads(raw)
    )


@functools.cache
def _by_path() -> dict[tuple[str, str, str], Resource]:
    return {(r.group, r.version, r.name): r for r in builtin()}


@functools.cache
def _by_kind() -> dict[tuple[str, str, str], Resource]:
    return {(r.group, r.version, r.kind): r for r in builtin() if "/" not in r.name}


def find(group: str, version: str, name: str) -> Resource | None:
    """The resource served at that path, or None."""
    return _by_path().get((group, version, name))


def get(group: str, version: str, name: str) -> Resource:
    """The same for a resource that must exist: `get("apps", "v1", "deployments")`."""
    return _by_path()[(group, version, name)]


def of_kind(api_version: str, kind: str) -> Resource | None:
    """The resource whose objects say `apiVersion` and `kind`."""
    group, _, version = api_version.rpartition("/")
    return _by_kind().get((group, version, kind))
