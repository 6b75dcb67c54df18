"""Decide whether a namespace needs its default ServiceAccount. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import name_of
from tiphys.reconcile.commands import Command, Create

SERVICE_ACCOUNTS = resources.get("", "v1", "serviceaccounts")
DEFAULT = "default"


def is_active(namespace: Mapping[str, Any]) -> bool:
    """Nothing is created in a namespace that goes away."""
    deleting = bool(namespace["metadata"].get("deletionTimestamp"))
    return not deleting and (namespace.get("status") or {}).get("phase") != "Terminating"


def plan(namespace: Mapping[str, Any], account: Mapping[str, Any] | None) -> list[Command]:
    """Create the account where it is missing."""
    if account is not None or not is_active(namespace):
        return []
    wanted = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": DEFAULT, "namespace": name_of(namespace)},
    }
    return [Create(SERVICE_ACCOUNTS, wanted, exists_ok=True)]
