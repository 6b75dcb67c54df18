"""A ReplicationController's pods: the rules are those of every number of equal pods (`reconcile/replicas.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiphys.api import resources
from tiphys.reconcile import replicas
from tiphys.reconcile.commands import Command

Object = dict[str, Any]

REPLICATION_CONTROLLERS = resources.get("", "v1", "replicationcontrollers")


def plan(controller: Object, pods: Sequence[Object], now: float, failure: str = "") -> list[Command]:
    """See `replicas.plan`."""
    return replicas.plan(REPLICATION_CONTROLLERS, controller, pods, now, failure)
