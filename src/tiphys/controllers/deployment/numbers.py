"""How many pods each ReplicaSet may have: surge, unavailability and proportional scaling, as plain arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.controllers.deployment.templates import DESIRED, MAX, by_age
from tiphys.reconcile.shares import resolve

Object = dict[str, Any]


def fenceposts(deployment: Object) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in pods. Both zero would stand still for ever: one may then be unavailable."""
    if deployment["spec"]["strategy"].get("type") != "RollingUpdate":
        return 0, 0
    rolling = deployment["spec"]["strategy"].get("rollingUpdate") or {}
    replicas = deployment["spec"]["replicas"]
    surge = resolve(rolling.get("maxSurge", "25%"), replicas, up=True)
    unavailable = resolve(rolling.get("maxUnavailable", "25%"), replicas, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, replicas)


def wanted(replicaset: Object) -> int:
    return int(replicaset["spec"].get("replicas") or 0)


def available(replicaset: Object) -> int:
    return int((replicaset.get("status") or {}).get("availableReplicas") or 0)


def present(replicaset: Object) -> int:
    return int((replicaset.get("status") or {}).get("replicas") or 0)


def new_size(deployment: Object, new: int, total: int) -> int:
    """What the new ReplicaSet may grow to, with `total` pods wanted over all."""
    replicas = deployment["spec"]["replicas"]
    if deployment["spec"]["strategy"].get("type") == "Recreate":
        return int(replicas)
    room = replicas + fenceposts(deployment)[0] - total
    return new if room <= 0 else new + min(room, replicas - new)


def old_sizes(deployment: Object, new: Object, olds: Sequence[Object]) -> dict[str, int]:
    """
    Name → size of the old ReplicaSets that must shrink in a rolling update.

    First pods that do not work go (they serve nobody), then as many working ones as keep the wanted minimum.
    """
    replicas = deployment["spec"]["replicas"]
    minimum = replicas - fenceposts(deployment)[1]
    everything = [*olds, new]
    new_unavailable = max(wanted(new) - available(new), 0)
    room = sum(wanted(rs) for rs in everything) - minimum - new_unavailable
    if room <= 0:
        return {}
    sizes = {rs["metadata"]["name"]: wanted(rs) for rs in olds}
    for replicaset in sorted(olds, key=by_age):
        broken = wanted(replicaset) - available(replicaset)
        lost = min(room, broken) if broken > 0 else 0
        sizes[replicaset["metadata"]["name"]] -= lost
        room -= lost
    spare = sum(available(rs) for rs in everything) - minimum
    for replicaset in sorted(olds, key=by_age):
        name = replicaset["metadata"]["name"]
        lost = min(spare, sizes[name]) if spare > 0 else 0
        sizes[name] -= lost
        spare -= lost
    return {rs["metadata"]["name"]: size for rs in olds if (size := sizes[rs["metadata"]["name"]]) != wanted(rs)}


def is_saturated(deployment: Object, replicaset: Object | None) -> bool:
    """This one ReplicaSet carries the whole Deployment, and its pods are there and available."""
    if replicaset is None:
        return False
    replicas = deployment["spec"]["replicas"]
    recorded = (replicaset["metadata"].get("annotations") or {}).get(DESIRED, "")
    return (
        wanted(replicaset) == replicas
        and recorded.isdigit()
        and int(recorded) == replicas
        and available(replicaset) == replicas
    )


def was_scaled(deployment: Object, replicasets: Sequence[Object]) -> bool:
    """The Deployment's replicas changed since its ReplicaSets were last sized."""
    replicas = deployment["spec"]["replicas"]
    for replicaset in replicasets:
        recorded = (replicaset["metadata"].get("annotations") or {}).get(DESIRED, "")
        if wanted(replicaset) > 0 and recorded.isdigit() and int(recorded) != replicas:
            return True
    return False


def proportional(deployment: Object, replicasets: Sequence[Object]) -> dict[str, int]:
    """
    Name → size when a Deployment is scaled in the middle of a rollout: each ReplicaSet takes its share.

    Shares follow the present sizes, rounded so that the sum is exact; the largest takes what is left over.
    """
    replicas = deployment["spec"]["replicas"]
    allowed = replicas + fenceposts(deployment)[0] if replicas > 0 else 0
    active = [rs for rs in replicasets if wanted(rs) > 0]
    left = allowed - sum(wanted(rs) for rs in active)
    order = sorted(active, key=lambda rs: (-wanted(rs), by_age(rs) if left <= 0 else _reverse_age(rs)))
    sizes: dict[str, int] = {}
    to_give = left
    for replicaset in order:
        share = _share(deployment, replicaset, allowed) if to_give else 0
        share = min(share, to_give) if left > 0 else max(share, to_give)
        sizes[replicaset["metadata"]["name"]] = wanted(replicaset) + share
        to_give -= share
    if order and to_give:
        first = order[0]["metadata"]["name"]
        sizes[first] = max(sizes[first] + to_give, 0)
    return sizes


def _share(deployment: Object, replicaset: Object, allowed: int) -> int:
    recorded = (replicaset["metadata"].get("annotations") or {}).get(MAX, "")
    before = (
        int(recorded)
        if recorded.isdigit() and int(recorded)
        else int((deployment.get("status") or {}).get("replicas") or allowed or 1)
    )
    return round(wanted(replicaset) * allowed / max(before, 1)) - wanted(replicaset)


def _reverse_age(replicaset: Mapping[str, Any]) -> tuple[Any, ...]:
    created, name = by_age(dict(replicaset))
    return tuple(-ord(letter) for letter in created), name
