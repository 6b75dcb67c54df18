"""What is kept of Namespaces and Nodes when they are written."""

from __future__ import annotations

from tiphys.api.defaults.nodes import NAME_LABEL
from tiphys.api.strategy.keeping import keep
from tiphys.api.strategy.strategies import Object, Strategy

CONTENT_FINALIZER = "kubernetes"


def namespace_create(new: Object) -> None:
    """Active, and held by its content until a controller has removed that."""
    new["status"] = {"phase": "Active"}
    finalizers = new.setdefault("spec", {}).setdefault("finalizers", [])
    if CONTENT_FINALIZER not in finalizers:
        finalizers.append(CONTENT_FINALIZER)
    new["metadata"].setdefault("labels", {})[NAME_LABEL] = new["metadata"]["name"]


def namespace_update(new: Object, old: Object) -> None:
    """Only `/finalize` changes what holds the namespace."""
    keep(new, old, "spec", "status")


def namespace_finalize(new: Object, old: Object) -> None:
    keep(new, old, "status")


def node_update(new: Object, old: Object) -> None:
    """A new Node may bring its status along; later the status has a path of its own."""
    keep(new, old, "status")


STRATEGIES = {
    ("", "namespaces"): Strategy(
        create=namespace_create,
        update=namespace_update,
        subresources={"finalize": namespace_finalize},
        generation=False,
        has_status=False,
    ),
    ("", "nodes"): Strategy(update=node_update, generation=False, has_status=False),
}
