"""
RBAC rules: what one allows, and what of one is held already.

Pure functions over PolicyRule dicts. Asking and comparing read the same few wildcards, and differ in one point: a rule
with names allows those names only, and holding it says nothing about the whole collection.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tiphys.apiserver.authz.attributes import Access, quoted

Rule = Mapping[str, Any]
ALL = "*"


def allows(rule: Rule, access: Access) -> bool:
    """Whether a rule allows an access."""
    if not allows_verb(rule, access.verb):
        return False
    if not access.is_resource:
        return any(allows_path(pattern, access.path) for pattern in rule.get("nonResourceURLs") or ())
    names = rule.get("resourceNames")
    return (
        allows_group(rule, access.group)
        and allows_resource(rule, access.resource, access.subresource)
        and (not names or access.name in names)
    )


def allows_verb(rule: Rule, verb: str) -> bool:
    verbs = rule.get("verbs") or ()
    return verb in verbs or ALL in verbs


def allows_group(rule: Rule, group: str) -> bool:
    groups = rule.get("apiGroups") or ()
    return group in groups or ALL in groups


def allows_resource(rule: Rule, resource: str, subresource: str) -> bool:
    """`pods/log` is allowed by itself, by `*` and by `*/log`."""
    resources = rule.get("resources") or ()
    if ALL in resources:
        return True
    if not subresource:
        return resource in resources
    return f"{resource}/{subresource}" in resources or f"*/{subresource}" in resources


def allows_path(pattern: str, path: str) -> bool:
    """A `*` at the end stands for any rest."""
    return pattern in (ALL, path) or (pattern.endswith(ALL) and path.startswith(pattern.rstrip(ALL)))


def missing(held: Sequence[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """What of the wanted rules no held rule covers, broken down to one value each, and put together again."""
    lacking = [piece for rule in wanted for piece in _pieces(rule) if not any(_covers(mine, piece) for mine in held)]
    return compacted(lacking)


def _pieces(rule: Rule) -> Iterable[Rule]:
    """The rule as rules of one verb, group, resource and name each."""
    verbs = rule.get("verbs") or ()
    for url in rule.get("nonResourceURLs") or ():
        for verb in verbs:
            yield {"nonResourceURLs": [url], "verbs": [verb]}
    for group, resource in itertools.product(rule.get("apiGroups") or (), rule.get("resources") or ()):
        for verb in verbs:
            names: Sequence[str] = rule.get("resourceNames") or ()
            if not names:
                yield {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
            for name in names:
                yield {"apiGroups": [group], "resources": [resource], "resourceNames": [name], "verbs": [verb]}


def _covers(mine: Rule, piece: Rule) -> bool:
    if not allows_verb(mine, piece["verbs"][0]):
        return False
    if "nonResourceURLs" in piece:
        url = piece["nonResourceURLs"][0]
        return any(allows_path(pattern, url) for pattern in mine.get("nonResourceURLs") or ())
    resource, _, subresource = piece["resources"][0].partition("/")
    names = mine.get("resourceNames")
    wanted = piece.get("resourceNames")
    return (
        allows_group(mine, piece["apiGroups"][0])
        and allows_resource(mine, resource, subresource)
        and (not names or (wanted is not None and wanted[0] in names))
    )


def compacted(pieces: Iterable[Rule]) -> list[Rule]:
    """Rules of one verb put together where they differ in nothing else, in order of appearance."""
    found: dict[tuple[object, ...], dict[str, Any]] = {}
    for piece in pieces:
        key = tuple(tuple(piece.get(part) or ()) for part in ("apiGroups", "resources", "resourceNames"))
        key += (tuple(piece.get("nonResourceURLs") or ()),)
        there = found.setdefault(key, {**piece, "verbs": []})
        there["verbs"] += [verb for verb in piece["verbs"] if verb not in there["verbs"]]
    return list(found.values())


_SHOWN = (
    ("apiGroups", "APIGroups"),
    ("resources", "Resources"),
    ("nonResourceURLs", "NonResourceURLs"),
    ("resourceNames", "ResourceNames"),
    ("verbs", "Verbs"),
)


def shown(rule: Rule) -> str:
    """`{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}`, as refusals show a rule."""
    parts = [f"{title}:[{' '.join(quoted(v) for v in rule[name])}]" for name, title in _SHOWN if rule.get(name)]
    return "{" + ", ".join(parts) + "}"
