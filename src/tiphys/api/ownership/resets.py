"""The fields that a path throws away before it stores an object: nobody can own them there."""

from __future__ import annotations

from tiphys.api.ownership.sets import Fields

_STATUS: Fields = {"f:status": {}}
_SPEC: Fields = {"f:spec": {}}
_OF_STATUS_PATH: dict[tuple[str, str], Fields] = {
    ("", "pods"): {"f:spec": {}, "f:metadata": {"f:deletionTimestamp": {}, "f:ownerReferences": {}}},
    ("apps", "deployments"): {"f:spec": {}, "f:metadata": {"f:labels": {}}},
    ("apiextensions.k8s.io", "customresourcedefinitions"): {"f:spec": {}, "f:metadata": {}},
}


def reset_fields(group: str, resource: str, subresource: str) -> Fields | None:
    """What a write to `resource` (plural) through `subresource` ("" is the object itself) leaves as it is."""
    if not subresource:
        return _STATUS
    if subresource == "status":
        return _OF_STATUS_PATH.get((group, resource), _SPEC)
    return None
