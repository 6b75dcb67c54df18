"""A ReplicaSet's pods: the rules are those of every number of equal pods (`reconcile/replicas.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiphys.api import resources
from tiphys.reconcile import replicas
from tiphys.reconcile.commands import Command

Object = dict[str, Any]

REPLICASETS = resources.get("apps", "v1", "replicasets")


def plan(replicaset: Object, pods: Sequence[Object], now: float, failure: str = "") -> list[Command]:
    """See `replicas.plan`."""
    return replicas.plan(REPLICASETS, replicaset, pods, now, failure)
