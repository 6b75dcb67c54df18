"""Objects on their way into the server: typed, defaulted and prepared as a request would have them."""

import copy
from typing import Any

from tiphys.api import conform, defaults, resources, schema, strategy, validation

Object = dict[str, Any]


def typed(api_version: str, kind: str, body: Object) -> Object:
    """A body as the API server reads it."""
    resource = resources.of_kind(api_version, kind)
    message = schema.message_of(resource.group, resource.version, kind)
    made = conform.conform(copy.deepcopy(body), message).object
    made["kind"], made["apiVersion"] = kind, api_version
    metadata = made.setdefault("metadata", {})
    if resource.namespaced:
        metadata.setdefault("namespace", "shop")
    defaults.set_defaults(resource, made)
    return made


def created(api_version: str, kind: str, body: Object) -> Object:
    """A new object as it would be stored."""
    made = typed(api_version, kind, body)
    made["metadata"].setdefault("name", "a")
    made["metadata"].setdefault("creationTimestamp", "2030-01-01T00:00:00Z")
    strategy.prepare_create(resources.of_kind(api_version, kind), made)
    return made


def updated(old: Object, new: Object, subresource: str = "") -> Object:
    """The outcome of a PUT of `new` over `old`."""
    resource, made = resources.of_kind(old["apiVersion"], old["kind"]), typed(old["apiVersion"], old["kind"], new)
    for name in ("name", "generation", "creationTimestamp"):
        if name in old["metadata"]:
            made["metadata"][name] = old["metadata"][name]
    strategy.prepare_update(resource, made, old, subresource)
    return made


def complaints(api_version: str, kind: str, body: Object) -> list[str]:
    """What is wrong with a new object."""
    resource, made = resources.of_kind(api_version, kind), created(api_version, kind, body)
    return [str(error) for error in validation.validate_create(resource, made)]


def update_complaints(old: Object, new: Object, subresource: str = "") -> list[str]:
    """What is wrong with a PUT of `new` over `old`, each once."""
    resource, made = resources.of_kind(old["apiVersion"], old["kind"]), updated(old, new, subresource)
    found = validation.validate_update(resource, made, old, subresource)
    return list(dict.fromkeys(str(error) for error in found))
