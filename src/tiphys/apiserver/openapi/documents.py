"""
Whole OpenAPI documents: operations of what is served, and the definitions that they speak of.

The package's definitions are those of OpenAPI v2. v3 wants references in another place, siblings of a reference apart
from it, and says of quantities and int-or-strings that they may be numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tiphys.api import schema
from tiphys.api.resources import Resource
from tiphys.apiserver.health import KUBERNETES
from tiphys.apiserver.openapi import operations
from tiphys.apiserver.pages import groups_of

Object = dict[str, Any]

V2, V3 = "#/definitions/", "#/components/schemas/"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_INFO = {"title": "Kubernetes", "version": KUBERNETES}
_BEARER = {"type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication"}
# What v2 could only call a string.
_EITHER = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": [{"type": "string"}, {"type": "number"}],
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": [{"type": "integer"}, {"type": "string"}],
}
_OPERATIONS = frozenset(("get", "put", "post", "patch", "delete"))


def v2(served: Sequence[Resource]) -> Object:
    """Everything in one document."""
    definitions = schema.definitions()
    refer = _referrer(definitions)
    paths: Object = {}
    for versions in groups_of(served).values():
        for listed in versions.values():
            paths |= operations.paths(listed, refer)
    return {
        "swagger": "2.0",
        "info": _INFO,
        "paths": paths,
        "definitions": definitions,
        "securityDefinitions": {"BearerToken": _BEARER},
        "security": [{"BearerToken": []}],
    }


def v3(listed: Sequence[Resource]) -> Object:
    """The document of one group and version, with the definitions that it needs."""
    definitions = schema.definitions()
    paths = {path: _path_v3(item) for path, item in operations.paths(listed, _referrer(definitions)).items()}
    schemas = {name: _definition_v3(name, definitions[name]) for name in sorted(_reached(paths, definitions))}
    return {
        "openapi": "3.0.0",
        "info": _INFO,
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"BearerToken": _BEARER}},
    }


def _referrer(definitions: Object) -> operations.Refer:
    long_names = {schema.short_name(name): name for name in definitions}
    meta = {kind: f"{_META}{kind}" for kind in ("DeleteOptions", "Status", "Patch")}

    def refer(group: str, version: str, kind: str) -> Object | None:
        if kind in meta and not group:
            return {"$ref": V2 + meta[kind]}
        message = schema.message_of(group, version, kind)
        name = long_names.get(message.name) if message is not None else None
        return {"$ref": V2 + name} if name is not None else None

    return refer


# v3


def _path_v3(item: Object) -> Object:
    made: Object = {"parameters": [_parameter_v3(one) for one in item["parameters"]]}
    for method in item.keys() & _OPERATIONS:
        made[method] = _operation_v3(item[method])
    return made


def _operation_v3(operation: Object) -> Object:
    made = {name: value for name, value in operation.items() if name not in _ONLY_V2}
    parameters = operation["parameters"]
    made["parameters"] = [_parameter_v3(one) for one in parameters if one["in"] != "body"]
    body = next((one for one in parameters if one["in"] == "body"), None)
    if body is not None:
        content = {kind: {"schema": _schema_v3(body["schema"])} for kind in operation["consumes"]}
        made["requestBody"] = {"content": content, **({"required": True} if body.get("required") else {})}
    made["responses"] = {code: _response_v3(told, operation) for code, told in operation["responses"].items()}
    return made


_ONLY_V2 = frozenset(("consumes", "produces", "schemes", "parameters", "responses"))


def _response_v3(told: Object, operation: Object) -> Object:
    if "schema" not in told:
        return {"description": told["description"]}
    content = {kind: {"schema": _schema_v3(told["schema"])} for kind in operation["produces"]}
    return {"description": told["description"], "content": content}


def _parameter_v3(one: Object) -> Object:
    made: Object = {name: one[name] for name in ("name", "in", "description", "required") if name in one}
    made["schema"] = {"type": one["type"], "uniqueItems": True}
    return made


def _definition_v3(name: str, definition: Object) -> Object:
    either = _EITHER.get(name)
    if either is not None:
        kept = {key: value for key, value in definition.items() if key != "type"}
        return {**kept, "oneOf": either}
    return _schema_v3(definition)


def _schema_v3(given: Object) -> Object:
    if "$ref" in given:
        reference = {"$ref": V3 + given["$ref"][len(V2) :]}
        siblings = {name: value for name, value in given.items() if name != "$ref"}
        return {**siblings, "allOf": [reference]} if siblings else reference
    made = dict(given)
    if "properties" in given:
        made["properties"] = {name: _schema_v3(value) for name, value in given["properties"].items()}
    for name in ("items", "additionalProperties"):
        if isinstance(given.get(name), dict):
            made[name] = _schema_v3(given[name])
    return made


def _reached(paths: Object, definitions: Object) -> set[str]:
    """The names of all definitions that paths speak of, and those that these speak of."""
    found: set[str] = set()
    waiting = list(_references(paths, V3))
    while waiting:
        name = waiting.pop()
        if name not in found and name in definitions:
            found.add(name)
            waiting += _references(definitions[name], V2)
    return found


def _references(given: Any, prefix: str) -> Iterable[str]:
    if isinstance(given, list):
        for one in given:
            yield from _references(one, prefix)
    elif isinstance(given, dict):
        for name, value in given.items():
            if name == "$ref" and isinstance(value, str) and value.startswith(prefix):
                yield value[len(prefix) :]
            else:
                yield from _references(value, prefix)
