"""
Is an Event valid, written through either of its groups.

Events are stored as core/v1. What comes through events.k8s.io must be complete and hardly changes; core/v1 asks only
that an event and its object are in one namespace, and for the reporter if the event says `eventTime`.
"""

from __future__ import annotations

from tiphys.api.validation import names
from tiphys.api.validation.fields import FieldError, invalid, required
from tiphys.api.validation.validator import Object, Validator

TEXT_LENGTH_MAX, NOTE_LENGTH_MAX = 128, 1024
_IMMUTABLE = (
    "involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count", "reason", "type",
    "eventTime", "action", "related", "reportingComponent", "reportingInstance",
)  # fmt: skip
# Names that the errors of events.k8s.io have for fields of core/v1.
_NEW_NAMES = {"reportingComponent": "reportingController"}


def core_event(obj: Object) -> list[FieldError]:
    return _legacy_errors(obj, "reportingComponent")


def core_event_update(new: Object, old: Object) -> list[FieldError]:
    return _legacy_errors(new, "reportingComponent")


def event(obj: Object) -> list[FieldError]:
    """The stricter rules of events.k8s.io."""
    errors = _legacy_errors(obj, "reportingController") + _series_errors(obj)
    if not obj.get("eventTime"):
        errors.append(required("eventTime"))
    kind, source = obj.get("type", ""), obj.get("source") or {}
    if kind not in ("Normal", "Warning"):
        errors.append(invalid("type", "", f"has invalid value: {kind}"))
    unset = [name for name in ("firstTimestamp", "lastTimestamp", "count") if obj.get(name)]
    if source.get("component") or source.get("host"):
        unset.append("source")
    return errors + [invalid(name, "", "needs to be unset") for name in unset]


def event_update(new: Object, old: Object) -> list[FieldError]:
    """Only a series goes on."""
    errors = _legacy_errors(new, "reportingController")
    if new.get("series") != old.get("series"):
        errors += _series_errors(new)
    return errors + [
        invalid(_NEW_NAMES.get(name, name), new.get(name), "field is immutable")
        for name in _IMMUTABLE
        if (new.get(name) or None) != (old.get(name) or None)
    ]


def _series_errors(obj: Object) -> list[FieldError]:
    series = obj.get("series")
    if series is None:
        return []
    errors = []
    if series.get("count", 0) < 2:
        errors.append(invalid("series.count", "", "should be at least 2"))
    if not series.get("lastObservedTime"):
        errors.append(required("series.lastObservedTime"))
    return errors


def _legacy_errors(obj: Object, reporter: str) -> list[FieldError]:
    namespace = obj["metadata"].get("namespace", "")
    about = (obj.get("involvedObject") or {}).get("namespace", "")
    mismatch = invalid("involvedObject.namespace", about, "does not match event.namespace")
    if not obj.get("eventTime"):
        agrees = namespace == about if about else namespace in ("", "default")
        return [] if agrees else [mismatch]
    errors = [] if about or namespace in ("default", "kube-system") else [mismatch]
    component = obj.get("reportingComponent", "")
    if not component:
        errors.append(required(reporter))
    errors += [invalid(reporter, component, text) for text in names.qualified_name(component)]
    for name in ("reportingInstance", "action", "reason"):
        text = obj.get(name, "")
        if not text:
            errors.append(required(name))
        if len(text) > TEXT_LENGTH_MAX:
            errors.append(invalid(name, "", f"can have at most {TEXT_LENGTH_MAX} characters"))
    if len(obj.get("message", "")) > NOTE_LENGTH_MAX:
        errors.append(invalid("message", "", f"can have at most {NOTE_LENGTH_MAX} characters"))
    return errors


VALIDATORS = {
    ("", "events"): Validator(core_event, core_event_update),
    ("events.k8s.io", "events"): Validator(event, event_update),
}
