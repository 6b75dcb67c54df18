"""Defaults of Namespaces and Nodes."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

NAME_LABEL = "kubernetes.io/metadata.name"


def namespace(obj: Object) -> None:
    """A namespace can be selected by its name."""
    name = obj["metadata"].get("name")
    if name:
        obj["metadata"].setdefault("labels", {})[NAME_LABEL] = name


def node(obj: Object) -> None:
    """The two ways of writing the pods' network, and all of the capacity as allocatable."""
    spec = obj.setdefault("spec", {})
    first, ranges = spec.get("podCIDR"), spec.get("podCIDRs")
    if first and (not ranges or ranges[0] != first):
        spec["podCIDRs"] = [first]
    elif ranges and not first:
        spec["podCIDR"] = ranges[0]
    status = obj.get("status") or {}
    if status.get("capacity") is not None and status.get("allocatable") is None:
        status["allocatable"] = dict(status["capacity"])


DEFAULTS = {("", "namespaces"): namespace, ("", "nodes"): node}
