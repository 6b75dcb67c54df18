"""
From a request target to what it asks for: Kubernetes' RequestInfo rules.

A target is parsed once; clients ask for the same few paths again and again, so the parsed Route is kept. A Route knows
nothing of the method; `verb_of` adds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

from tiphys.api.resources import Resource
from tiphys.apiserver.call import Call
from tiphys.apiserver.records import key_of, prefix_of, storage_of
from tiphys.wire.messages import Request

# Parsed targets that are kept. When it is full it starts again: the busy ones come back at once.
ROUTES_MAX = 20_000
# Longer targets are parsed every time, so that nobody fills memory with them.
KEPT_TARGET_LENGTH_MAX = 512

_METHOD_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_FALSE = frozenset(("0", "false"))


@dataclass(frozen=True, slots=True)
class Route:
    """
    What a target names. `resource` is the subresource's record where `subresource` is set. `resource` None with `known`
    is a path inside a served group that names nothing (a Status 404); without `known` it is no API path at all.

    `key` is the storage key of the object or the prefix of the collection; `rest` is what follows a proxy subresource;
    `converts` says that objects are stored in another version than this path shows.
    """

    path: str
    query: Mapping[str, Sequence[str]]
    resource: Resource | None = None
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    rest: str = ""
    key: str = ""
    watches: bool = False
    known: bool = False
    converts: bool = False


def is_true(query: Mapping[str, Sequence[str]], name: str) -> bool:
    """Kubernetes' reading of a boolean parameter: present and not one of the ways to say no."""
    values = query.get(name)
    return values is not None and bool(values) and values[0].lower() not in _FALSE


Find = Callable[[str, str, str], Resource | None]


class Router:
    """
    Turns targets into Routes. `find` looks a (group, version, name) up, `has_group` says whether a group is served.

    `forget` empties what was kept, for when the served resources change.
    """

    def __init__(self, find: Find, has_group: Callable[[str], bool]) -> None:
        self._find = find
        self._has_group = has_group
        self._kept: dict[str, Route] = {}

    def route(self, target: str) -> Route:
        """The Route of a target, from memory if it was asked before."""
        found = self._kept.get(target)
        if found is not None:
            return found
        found = self._parse(target)
        if len(target) <= KEPT_TARGET_LENGTH_MAX:
            if len(self._kept) >= ROUTES_MAX:
                self._kept.clear()
            self._kept[target] = found
        return found

    def forget(self) -> None:
        self._kept.clear()

    def call(self, request: Request) -> tuple[Call, Route]:
        """The Call that a request makes, not yet authenticated."""
        route = self.route(request.target)
        call = Call(
            request,
            verb_of(request.method, route),
            route.path,
            route.query,
            route.resource,
            route.subresource,
            route.namespace,
            route.name or _selected_name(route),
        )
        return call, route

    def _parse(self, target: str) -> Route:
        path, _, query_text = target.partition("?")
        query = parse_qs(query_text, keep_blank_values=True) if query_text else {}
        parts = unquote(path).split("/")[1:]
        if len(parts) > 1 and not parts[-1]:
            parts.pop()  # a trailing slash changes nothing
        group, version, rest = _split_root(parts)
        known = bool(version) and (group == "" or self._has_group(group))
        if not known or not rest or "" in rest:
            return Route(path, query, known=known and bool(version))
        return self._resource_route(Route(path, query, known=True), (group, version), rest)

    def _resource_route(self, bare: Route, root: tuple[str, str], rest: list[str]) -> Route:
        watches = False
        if rest[0] == "watch" and len(rest) > 1:
            watches, rest = True, rest[1:]
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2 and not self._is_namespace_subresource(rest[2]):
            namespace, rest = rest[1], rest[2:]
        elif rest[0] == "namespaces" and len(rest) > 1:
            namespace = rest[1]
        return self._object_route(bare, root, rest, namespace, watches=watches)

    def _is_namespace_subresource(self, part: str) -> bool:
        return self._find("", "v1", f"namespaces/{part}") is not None

    def _object_route(
        self, bare: Route, root: tuple[str, str], rest: list[str], namespace: str, *, watches: bool
    ) -> Route:
        name = rest[1] if len(rest) > 1 else ""
        subresource = rest[2] if len(rest) > 2 else ""
        parent = self._find(*root, rest[0])
        resource = self._find(*root, f"{rest[0]}/{subresource}") if subresource else parent
        if parent is None or resource is None or "/" in rest[0] or _misplaced(parent, namespace, name):
            return bare
        if len(rest) > 3 and subresource != "proxy":
            return bare
        key = key_of(parent, namespace, name) if name else prefix_of(parent)
        if not name and namespace and parent.namespaced:
            key += namespace + "/"
        return Route(
            bare.path,
            bare.query,
            resource,
            subresource,
            namespace,
            name,
            "/".join(rest[3:]),
            key,
            watches=watches,
            known=True,
            converts=storage_of(parent) != parent,
        )


def _split_root(parts: list[str]) -> tuple[str, str, list[str]]:
    """(group, version, what follows); no version if the path is no API path."""
    if parts and parts[0] == "api" and len(parts) > 1:
        return "", parts[1], parts[2:]
    if parts and parts[0] == "apis" and len(parts) > 2:
        return parts[1], parts[2], parts[3:]
    return "", "", []


def _misplaced(parent: Resource, namespace: str, name: str) -> bool:
    """Namespaced objects have a namespace in the path, cluster-scoped ones have none."""
    if parent.namespaced:
        return bool(name) and not namespace
    return bool(namespace) and parent.name != "namespaces"


def _selected_name(route: Route) -> str:
    """A list or watch of one name is authorized as that name."""
    selector = route.query.get("fieldSelector")
    if selector and selector[0].startswith("metadata.name=") and "," not in selector[0]:
        return selector[0].removeprefix("metadata.name=").removeprefix("=")
    return ""


def verb_of(method: str, route: Route) -> str:
    """The authorization verb, or the lower-case method for a path that is no resource."""
    if route.resource is None:
        return method.lower()
    verb = _METHOD_VERBS.get(method, method.lower())
    if verb == "get" and (route.watches or not route.name):
        return "watch" if route.watches or is_true(route.query, "watch") else "list"
    if verb == "delete" and not route.name:
        return "deletecollection"
    return verb
