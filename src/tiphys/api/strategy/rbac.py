"""An empty list of rules is no list."""

from __future__ import annotations

from tiphys.api.strategy.strategies import Object, Strategy

_GROUP = "rbac.authorization.k8s.io"


def role(new: Object, old: Object | None = None) -> None:
    """Kubernetes' storage does not tell an empty list from none and shows null."""
    if not new.get("rules"):
        new["rules"] = None


_ROLE = Strategy(create=role, update=role, generation=False, has_status=False)
STRATEGIES = {(_GROUP, "roles"): _ROLE, (_GROUP, "clusterroles"): _ROLE}
