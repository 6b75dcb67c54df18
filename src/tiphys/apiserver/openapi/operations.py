"""
Paths of one group and version: for each resource its collection, its objects and its subresources.

Written as OpenAPI v2 has them; `documents.py` turns them into v3. Clients find out here what is served: the
parameters of a PATCH say whether dry runs and field validation are, and `x-kubernetes-*` say which kind and action.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tiphys.api.resources import Resource

Object = dict[str, Any]
# The reference to a kind's definition; None for a kind that has none (options of streams).
Refer = Callable[[str, str, str], Object | None]

_PRODUCES = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]
_WATCHED = [*_PRODUCES, "application/json;stream=watch"]
_PATCHES = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
]
_ACTIONS = {"get": "get", "create": "post", "update": "put", "patch": "patch", "delete": "delete", "list": "list"}
_ACTIONS["deletecollection"] = "deletecollection"
_METHODS = {**_ACTIONS, "list": "get", "deletecollection": "delete"}
_WORDS = {"get": "read", "update": "replace", "deletecollection": "delete"}
_STREAMED = frozenset(("exec", "attach", "portforward", "proxy"))
# Whose subresources have a kind of their own.
_PARENTS = {
    "pods": "Pod",
    "nodes": "Node",
    "services": "Service",
    "serviceaccounts": "ServiceAccount",
    "replicationcontrollers": "ReplicationController",
    "deployments": "Deployment",
    "replicasets": "ReplicaSet",
    "statefulsets": "StatefulSet",
}


def _query(name: str, kind: str, description: str) -> Object:
    return {"uniqueItems": True, "type": kind, "description": description, "name": name, "in": "query"}


def _in_path(name: str, description: str) -> Object:
    return {
        "uniqueItems": True,
        "type": "string",
        "description": description,
        "name": name,
        "in": "path",
        "required": True,
    }


_PRETTY = _query("pretty", "string", "Whether the answer is indented.")
_NAMESPACE = _in_path("namespace", "The namespace that holds the object.")
_WRITES = [
    _query("dryRun", "string", "`All`: everything is checked and nothing is stored."),
    _query("fieldManager", "string", "The name under which changed fields are owned."),
    _query("fieldValidation", "string", "What unknown and duplicate fields do: Ignore, Warn or Strict."),
]
_FORCE = _query("force", "boolean", "Apply takes over fields that other managers own.")
_READS_MANY = [
    _query("allowWatchBookmarks", "boolean", "Send BOOKMARK events now and then."),
    _query("continue", "string", "The token of the page before."),
    _query("fieldSelector", "string", "Only objects whose fields are these."),
    _query("labelSelector", "string", "Only objects with these labels."),
    _query("limit", "integer", "How many objects a page has at most."),
    _query("resourceVersion", "string", "How old an answer may be, or which state it shows."),
    _query("resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."),
    _query("sendInitialEvents", "boolean", "A watch starts with what is there."),
    _query("timeoutSeconds", "integer", "When the server ends the call."),
    _query("watch", "boolean", "Send changes as a stream."),
]
_DELETES = [
    _query("dryRun", "string", "`All`: everything is checked and nothing is deleted."),
    _query("gracePeriodSeconds", "integer", "How long the object may take to end."),
    _query(
        "ignoreStoreReadErrorWithClusterBreakingPotential", "boolean", "Delete an object that cannot be read any more."
    ),
    _query("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
    _query("propagationPolicy", "string", "What happens to dependents: Orphan, Background or Foreground."),
]


def paths(resources: Sequence[Resource], refer: Refer) -> dict[str, Object]:
    """The paths of resources of one group and version."""
    made: dict[str, Object] = {}
    for resource in resources:
        for path, verbs, parameters in _places(resource):
            operations = {_METHODS[verb]: _operation(resource, verb, path, refer) for verb in verbs if verb in _METHODS}
            if operations:
                made.setdefault(path, {"parameters": [*parameters, _PRETTY]}).update(operations)
    return dict(sorted(made.items()))


def _places(resource: Resource) -> Iterable[tuple[str, Sequence[str], list[Object]]]:
    """Where a resource is found: path, verbs there, parameters in the path."""
    name, _, subresource = resource.name.partition("/")
    scope = f"{resource.root}/namespaces/{{namespace}}" if resource.namespaced else resource.root
    within = [_NAMESPACE] if resource.namespaced else []
    one = [_in_path("name", f"The name of the {resource.kind}."), *within]
    if subresource:
        yield f"{scope}/{name}/{{name}}/{subresource}", resource.verbs, one
        return
    yield f"{scope}/{name}", [verb for verb in resource.verbs if verb in ("list", "create", "deletecollection")], within
    yield f"{scope}/{name}/{{name}}", [v for v in resource.verbs if v in ("get", "update", "patch", "delete")], one
    if resource.namespaced and "list" in resource.verbs:
        yield f"{resource.root}/{name}", ["list"], []


def _operation(resource: Resource, verb: str, path: str, refer: Refer) -> Object:
    kind = _kind(resource)
    body, answer = _bodies(resource, verb, refer)
    streamed = resource.name.rpartition("/")[2] in _STREAMED and "/" in resource.name
    operation: Object = {
        "description": f"{verb} {resource.name}",
        "consumes": _PATCHES if verb == "patch" and not streamed else ["*/*"],
        "produces": ["*/*"] if streamed else _WATCHED if verb == "list" else _PRODUCES,
        "schemes": ["https"],
        "tags": [_tag(resource)],
        "operationId": _operation_id(resource, verb, path),
        "parameters": [*([body] if body else []), *([] if streamed else _parameters(verb))],
        "responses": _responses(verb, answer),
        "x-kubernetes-action": "connect" if streamed else _ACTIONS[verb],
        "x-kubernetes-group-version-kind": {"group": kind[0], "version": kind[1], "kind": kind[2]},
    }
    return operation


def _kind(resource: Resource) -> tuple[str, str, str]:
    if resource.kind_group:
        return resource.kind_group, "v1", resource.kind
    return resource.group, resource.version, resource.kind


def _parameters(verb: str) -> list[Object]:
    if verb in ("create", "update"):
        return _WRITES
    if verb == "patch":
        return [*_WRITES, _FORCE]
    if verb == "delete":
        return _DELETES
    if verb == "deletecollection":
        return [*_DELETES, *(one for one in _READS_MANY if one["name"] not in ("watch", "allowWatchBookmarks"))]
    return _READS_MANY if verb == "list" else []


def _bodies(resource: Resource, verb: str, refer: Refer) -> tuple[Object | None, Object | None]:
    """The body parameter and the schema of the answer."""
    group, version, kind = _kind(resource)
    own = refer(group, version, kind)
    if verb == "list":
        return None, refer(group, version, f"{kind}List")
    if verb == "get":
        return None, own
    if verb in ("delete", "deletecollection"):
        return _body(refer("", "v1", "DeleteOptions"), required=False), refer("", "v1", "Status")
    if verb == "patch":
        return _body(refer("", "", "Patch"), required=True), own
    return _body(own, required=True), own


def _body(schema: Object | None, *, required: bool) -> Object | None:
    if schema is None:
        return None
    return {"in": "body", "name": "body", "schema": schema, **({"required": True} if required else {})}


def _responses(verb: str, answer: Object | None) -> Object:
    told: Object = {"description": "OK", "schema": answer or {"type": "string"}}
    codes = {"200": told}
    if verb in ("create", "update", "patch"):
        codes["201"] = {**told, "description": "Created"}
    if verb in ("create", "delete"):
        codes["202"] = {**told, "description": "Accepted"}
    return {**codes, "401": {"description": "Unauthorized"}}


def _tag(resource: Resource) -> str:
    first, *rest = _group_words(resource.group)
    return f"{first}{''.join(word.capitalize() for word in rest)}_{resource.version}"


def _group_words(group: str) -> list[str]:
    """`rbac.authorization.k8s.io` is called rbacAuthorization."""
    return group.removesuffix(".k8s.io").split(".") if group else ["core"]


def _operation_id(resource: Resource, verb: str, path: str) -> str:
    """`listCoreV1NamespacedPod`, `readAppsV1NamespacedDeploymentScale`: the names of generated clients' methods."""
    name, _, subresource = resource.name.partition("/")
    group = "".join(word.capitalize() for word in _group_words(resource.group)) + resource.version.capitalize()
    kind, after = _PARENTS.get(name, resource.kind) if subresource else resource.kind, subresource.capitalize()
    scope = "Namespaced" if "{namespace}" in path else ""
    everywhere = "ForAllNamespaces" if resource.namespaced and not scope else ""
    if subresource in _STREAMED:
        return f"connect{group}{_METHODS[verb].capitalize()}{scope}{kind}{after}"
    word = _WORDS.get(verb, verb)
    collection = "Collection" if verb == "deletecollection" else ""
    return f"{word}{group}{collection}{scope}{kind}{after}{everywhere}"
