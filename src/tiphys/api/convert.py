"""
Between the versions of one kind: HorizontalPodAutoscaler v1 and v2, Event of the core group and of events.k8s.io.

Everything else is stored in the one version that it has. Conversions are pure and never change what they are given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tiphys.api import hpa_conversion
from tiphys.api.resources import Resource

Object = dict[str, Any]

_CORE_TO_EVENTS = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_EVENTS_TO_CORE = {new: old for old, new in _CORE_TO_EVENTS.items()}


def convert(obj: Mapping[str, Any], resource: Resource) -> Object:
    """A copy of the object in the version of `resource` (or of its parent); the copy shares what is the same."""
    wanted = resource.api_version
    held = obj.get("apiVersion", wanted)
    change = _CONVERSIONS.get((str(obj.get("kind", resource.kind)), held, wanted))
    if change is None:
        return {**obj, "apiVersion": wanted}
    return {"kind": resource.kind, "apiVersion": wanted, **_without_type(change(dict(obj)))}


def is_known(kind: str, held: str, wanted: str) -> bool:
    """Whether objects of the kind differ between the two versions, and can be converted."""
    return (kind, held, wanted) in _CONVERSIONS


def _without_type(obj: Object) -> Object:
    return {name: value for name, value in obj.items() if name not in ("kind", "apiVersion")}


def _event_to_core(obj: Object) -> Object:
    renamed = {_EVENTS_TO_CORE.get(name, name): value for name, value in obj.items()}
    # The core version always says who reports.
    return {"involvedObject": {}, "reportingComponent": "", "reportingInstance": "", **renamed}


def _event_from_core(obj: Object) -> Object:
    silent = ("reportingComponent", "reportingInstance")
    return {_CORE_TO_EVENTS.get(k, k): v for k, v in obj.items() if v != "" or k not in silent}


_CONVERSIONS: Mapping[tuple[str, str, str], Callable[[Object], Object]] = {
    ("Event", "events.k8s.io/v1", "v1"): _event_to_core,
    ("Event", "v1", "events.k8s.io/v1"): _event_from_core,
    ("HorizontalPodAutoscaler", "autoscaling/v1", "autoscaling/v2"): hpa_conversion.from_v1,
    ("HorizontalPodAutoscaler", "autoscaling/v2", "autoscaling/v1"): hpa_conversion.to_v1,
}
