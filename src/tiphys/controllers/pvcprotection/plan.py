"""Decide about the finalizer that keeps a claim for as long as pods use it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.api import resources
from tiphys.api.objects import is_deleting, name_of
from tiphys.api.storage import CLAIM_PROTECTION, ephemeral_claim, not_owner
from tiphys.reconcile.commands import Command, Update

Object = dict[str, Any]

CLAIMS = resources.get("", "v1", "persistentvolumeclaims")


def plan(claim: Object, pods: Sequence[Object]) -> list[Command]:
    """Put it where it is missing; take it off a deleted claim that no pod with a node uses."""
    finalizers = claim["metadata"].get("finalizers") or []
    if not is_deleting(claim):
        return [] if CLAIM_PROTECTION in finalizers else [_with(claim, [*finalizers, CLAIM_PROTECTION])]
    if CLAIM_PROTECTION not in finalizers or any(uses(pod, claim) for pod in pods):
        return []
    return [_with(claim, [name for name in finalizers if name != CLAIM_PROTECTION])]


def uses(pod: Object, claim: Object) -> bool:
    """
    Whether the pod may have the claim's volume on its node. One without a node never gets it: the node refuses it.

    A pod that has ended keeps its claim, but not the one that was made for it: that would keep both for ever.
    """
    if not pod["spec"].get("nodeName"):
        return False
    for volume in pod["spec"].get("volumes") or ():
        if (volume.get("persistentVolumeClaim") or {}).get("claimName") == name_of(claim):
            return True
        own = volume.get("ephemeral") is not None and ephemeral_claim(pod, volume) == name_of(claim)
        if own and not _is_shut_down(pod) and not not_owner(pod, claim):
            return True
    return False


def _is_shut_down(pod: Mapping[str, Any]) -> bool:
    """Whether its node has ended it, and only finalizers hold the object."""
    return is_deleting(pod) and pod["metadata"].get("deletionGracePeriodSeconds") == 0


def _with(claim: Object, finalizers: list[str]) -> Command:
    return Update(CLAIMS, {**claim, "metadata": {**claim["metadata"], "finalizers": finalizers}})
