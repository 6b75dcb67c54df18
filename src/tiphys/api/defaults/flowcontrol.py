"""Defaults of flow schemas and priority levels."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

_GROUP = "flowcontrol.apiserver.k8s.io"


def flow_schema(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = 1000


def priority_level(obj: Object) -> None:
    """Shares, and queues for those that wait."""
    spec = obj.get("spec") or {}
    exempt, limited = spec.get("exempt"), spec.get("limited")
    if exempt is not None:
        exempt.setdefault("nominalConcurrencyShares", 0)
        exempt.setdefault("lendablePercent", 0)
    if limited is not None:
        limited.setdefault("nominalConcurrencyShares", 30)
        limited.setdefault("lendablePercent", 0)
        queuing = (limited.get("limitResponse") or {}).get("queuing")
        if queuing is not None:
            for name, value in (("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)):
                queuing[name] = queuing.get(name) or value


DEFAULTS = {(_GROUP, "flowschemas"): flow_schema, (_GROUP, "prioritylevelconfigurations"): priority_level}
