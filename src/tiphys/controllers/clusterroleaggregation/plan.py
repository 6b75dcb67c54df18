"""Decide which rules an aggregated ClusterRole has: those of every role that its selectors choose. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.api import resources, selectors
from tiphys.api.objects import labels_of, name_of
from tiphys.reconcile.commands import Command, Update

CLUSTER_ROLES = resources.get("rbac.authorization.k8s.io", "v1", "clusterroles")

Role = Mapping[str, Any]


def is_aggregated(role: Role) -> bool:
    return bool(role.get("aggregationRule"))


def plan(role: Role, others: Sequence[Role]) -> list[Command]:
    """Replace the rules where they are not what the chosen roles have, in order of selector and name, each once."""
    if not is_aggregated(role):
        return []
    wanted: list[Any] = []
    for selector in role["aggregationRule"].get("clusterRoleSelectors") or ():
        chosen = selectors.from_label_selector(selector)
        for other in sorted(others, key=name_of):
            if name_of(other) != name_of(role) and chosen.matches(labels_of(other)):
                wanted += [rule for rule in other.get("rules") or () if rule not in wanted]
    if wanted == (role.get("rules") or []):
        return []
    return [Update(CLUSTER_ROLES, {**role, "rules": wanted})]
