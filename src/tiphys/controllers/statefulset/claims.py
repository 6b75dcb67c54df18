"""
Whose the claims of a StatefulSet are: nobody's, the set's or their pod's, as the retention policy says.

What an owner leaves behind is removed by the garbage collector, so ownership is all that this decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api.objects import is_deleting, name_of, uid_of
from tiphys.controllers.statefulset.identity import CLAIMS, claim_names, new_claims
from tiphys.reconcile.commands import Announce, Command, Create, Update
from tiphys.reconcile.ownership import owner_reference

Object = dict[str, Any]
# Claims of the namespace by name.
Claims = Mapping[str, Object]


def _deletes(statefulset: Object, when: str) -> bool:
    policy = statefulset["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    return bool(policy.get(when) == "Delete")


def _owner(statefulset: Object, pod: Object | None, *, condemned: bool) -> Object | None:
    """
    The owner that a claim should have. A pod that is scaled away takes its claims along when `whenScaled` says so,
    and the set's claims go with the set when `whenDeleted` does; the first outweighs the second.
    """
    if condemned and _deletes(statefulset, "whenScaled"):
        return pod
    return statefulset if _deletes(statefulset, "whenDeleted") else None


def missing(statefulset: Object, pod: str, claims: Claims) -> list[Command]:
    """The claims of that pod that are still to be made."""
    owner = _owner(statefulset, None, condemned=False)
    commands: list[Command] = []
    for claim in new_claims(statefulset, pod):
        name = name_of(claim)
        if name in claims:
            continue
        if owner is not None:
            claim["metadata"]["ownerReferences"] = [owner_reference(owner)]
        what, where = f"create Claim {name} Pod {pod}", f"in StatefulSet {name_of(statefulset)}"
        texts = (f"{what} {where} success", "FailedCreate", f"{what} {where} failed error: {{error}}")
        commands.append(
            Create(CLAIMS, claim, exists_ok=True, announce=Announce(statefulset, "SuccessfulCreate", *texts))
        )
    return commands


def must_go_first(statefulset: Object, pod: str, claims: Claims) -> bool:
    """A claim of an earlier pod of that name is still there and about to go: a new pod must not take it."""
    found = [claims[name] for name in claim_names(statefulset, pod).values() if name in claims]
    return any(is_deleting(claim) or any(_is_pod(owner, pod) for owner in _owners(claim)) for claim in found)


def entrust(statefulset: Object, pod: Object, claims: Claims, *, condemned: bool) -> list[Command]:
    """Give the pod's claims to whom they belong now. Owners that somebody else wrote stay."""
    wanted = _owner(statefulset, pod, condemned=condemned)
    name = name_of(pod)
    commands: list[Command] = []
    for claim_name in claim_names(statefulset, name).values():
        claim = claims.get(claim_name)
        if claim is None or is_deleting(claim):
            continue
        strangers = [o for o in _owners(claim) if o["uid"] != uid_of(statefulset) and not _is_pod(o, name)]
        if wanted is not None and not any(owner.get("controller") for owner in strangers):
            owners = [*strangers, owner_reference(wanted)]
        else:
            owners = strangers
        if owners != _owners(claim):
            commands.append(Update(CLAIMS, {**claim, "metadata": {**claim["metadata"], "ownerReferences": owners}}))
    return commands


def _owners(claim: Object) -> list[Object]:
    return list(claim["metadata"].get("ownerReferences") or ())


def _is_pod(owner: Mapping[str, Any], pod: str) -> bool:
    return bool(owner["kind"] == "Pod" and owner["name"] == pod)
