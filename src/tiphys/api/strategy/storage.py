"""What volumes, claims and drivers keep and lose, and what their writers are warned of."""

from __future__ import annotations

import datetime

from tiphys.api import quantity
from tiphys.api.strategy.keeping import bump, keep, keep_all_but_status, keep_all_but_status_proper
from tiphys.api.strategy.strategies import Object, Strategy

_GROUP = "storage.k8s.io"
_RECYCLE = (
    "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. "
    "Instead, the recommended approach is to use dynamic provisioning."
)


def volume_create(new: Object) -> None:
    """A volume begins pending, and the moment is written down."""
    new["status"] = {"phase": "Pending", "lastPhaseTransitionTime": _now()}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def volume_status(new: Object, old: Object) -> None:
    """Another phase has another moment, unless the writer says which."""
    keep_all_but_status(new, old)
    status, before = new.setdefault("status", {}), old.get("status") or {}
    if status.get("phase") != before.get("phase"):
        said = status.get("lastPhaseTransitionTime")
        if said is None or said == before.get("lastPhaseTransitionTime"):
            status["lastPhaseTransitionTime"] = _now()
    elif "lastPhaseTransitionTime" not in status:
        keep(status, before, "lastPhaseTransitionTime")


def volume_warnings(new: Object, old: Object | None) -> list[str]:
    return [_RECYCLE] if new["spec"].get("persistentVolumeReclaimPolicy") == "Recycle" else []


def claim_create(new: Object) -> None:
    new["status"] = {"phase": "Pending"}
    _agree_on_source(new["spec"])


def claim_update(new: Object, old: Object) -> None:
    _agree_on_source(new["spec"])


def _agree_on_source(spec: Object) -> None:
    """`dataSourceRef` is the newer way of `dataSource`: either is filled from the other inside one namespace."""
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and reference is None:
        spec["dataSourceRef"] = dict(source)
    elif reference is not None and source is None and not reference.get("namespace"):
        spec["dataSource"] = dict(reference)


def claim_warnings(new: Object, old: Object | None) -> list[str]:
    """Half a byte cannot be had."""
    size = ((new["spec"].get("resources") or {}).get("requests") or {}).get("storage")
    if size is None or quantity.parse(size).denominator == 1:
        return []
    return [f'spec.resources.requests[storage]: fractional byte value "{size}" is invalid, must be an integer']


def driver_update(new: Object, old: Object) -> None:
    """A driver has no generation until its spec first changes."""
    if new["spec"] != old["spec"]:
        bump(new, old)


_PLAIN = Strategy(generation=False, has_status=False)
STRATEGIES = {
    ("", "persistentvolumes"): Strategy(
        create=volume_create, subresources={"status": volume_status}, warnings=volume_warnings, generation=False
    ),
    ("", "persistentvolumeclaims"): Strategy(
        create=claim_create, update=claim_update, warnings=claim_warnings, generation=False
    ),
    (_GROUP, "csidrivers"): Strategy(update=driver_update, generation=False, has_status=False),
    (_GROUP, "volumeattachments"): Strategy(subresources={"status": keep_all_but_status_proper}, generation=False),
    (_GROUP, "storageclasses"): _PLAIN,
}
