"""
NamespaceLifecycle: nothing new in a namespace that is not there or that is going, and some namespaces never go.
"""

from __future__ import annotations

from tiphys.api import errors
from tiphys.apiserver.admission.chain import CREATE, DELETE, UPDATE, Plugin, forbidden
from tiphys.apiserver.call import Attributes, Reader

IMMORTAL = frozenset(("default", "kube-system", "kube-public"))


def plugin(reader: Reader) -> Plugin:
    """Looks at the namespace of every namespaced write."""

    def mutate(attributes: Attributes) -> None:
        if attributes.resource.name.partition("/")[0] == "namespaces" and not attributes.resource.group:
            if attributes.operation == DELETE and attributes.name in IMMORTAL:
                raise forbidden(attributes, "this namespace may not be deleted")
            return
        if attributes.resource.namespaced and attributes.operation != DELETE:
            _check(reader, attributes)

    return Plugin("NamespaceLifecycle", _concerns, mutate)


def _concerns(operation: str, group: str, resource: str) -> bool:
    return operation in (CREATE, UPDATE) or (operation == DELETE and (group, resource) == ("", "namespaces"))


def _check(reader: Reader, attributes: Attributes) -> None:
    name = attributes.namespace
    namespace = reader.get("", "namespaces", "", name)
    if namespace is None:
        raise errors.not_found("namespaces", "", name)
    if attributes.operation != CREATE or (namespace.get("status") or {}).get("phase") != "Terminating":
        return
    why = f"unable to create new content in namespace {name} because it is being terminated"
    refusal = forbidden(attributes, why)
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {name} is being terminated",
        "field": "metadata.namespace",
    }
    refusal.status["details"]["causes"] = [cause]
    raise refusal
