"""Who may change what of a CertificateSigningRequest: approvers its verdict, signers its certificate."""

from __future__ import annotations

import datetime

from tiphys.api.strategy.keeping import keep
from tiphys.api.strategy.strategies import Object, Strategy

_VERDICTS = ("Approved", "Denied")


def request_update(new: Object, old: Object) -> None:
    """What was asked for stays; so does the answer on this path."""
    keep(new, old, "spec", "status")


def request_approval(new: Object, old: Object) -> None:
    """An approver writes conditions and no certificate."""
    keep(new, old, "spec")
    status = new.setdefault("status", {})
    keep(status, old.get("status") or {}, "certificate")
    _stamp(status, old.get("status") or {})


def request_status(new: Object, old: Object) -> None:
    """A signer writes the certificate and failures, and leaves the verdict as it is."""
    keep(new, old, "spec")
    status, before = new.setdefault("status", {}), old.get("status") or {}
    verdicts = [each for each in before.get("conditions") or () if each.get("type") in _VERDICTS]
    others = [each for each in status.get("conditions") or () if each.get("type") not in _VERDICTS]
    if verdicts or others:
        status["conditions"] = verdicts + others
    else:
        status.pop("conditions", None)
    _stamp(status, before)


def _stamp(status: Object, before: Object) -> None:
    """Conditions without times get the present; the same verdict keeps its moment."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    known = {(each.get("type"), each.get("status")): each for each in before.get("conditions") or ()}
    for condition in status.get("conditions") or ():
        if not condition.get("lastUpdateTime"):
            condition["lastUpdateTime"] = now
        if not condition.get("lastTransitionTime"):
            same = known.get((condition.get("type"), condition.get("status"))) or {}
            condition["lastTransitionTime"] = same.get("lastTransitionTime") or now


STRATEGIES = {
    ("certificates.k8s.io", "certificatesigningrequests"): Strategy(
        update=request_update,
        subresources={"approval": request_approval, "status": request_status},
        generation=False,
    )
}
