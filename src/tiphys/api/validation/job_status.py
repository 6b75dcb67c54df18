"""The status of a Job: what its controller may say, and never take back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api.validation.fields import FieldError, duplicate, invalid, required
from tiphys.api.validation.validator import Object
from tiphys.api.validation.values import negative_errors

Status = Mapping[str, Any]

_COUNTS = ("active", "succeeded", "failed", "ready", "terminating")


def job_status(new: Object, old: Object) -> list[FieldError]:
    """A changed status."""
    status, before = new.get("status") or {}, old.get("status") or {}
    errors = negative_errors(status, "status.", *_COUNTS)
    errors += _time_errors(status)
    errors += _condition_errors(status)
    errors += _finished_errors(status, new["spec"])
    errors += _uncounted_errors(status.get("uncountedTerminatedPods") or {})
    if "ready" in status and status["ready"] > (status.get("active") or 0):
        errors.append(invalid("status.ready", status["ready"], "cannot set more ready pods than active"))
    errors += _disabled_errors(status, before)
    for name in ("failed", "succeeded"):
        if (status.get(name) or 0) < (before.get(name) or 0):
            errors.append(invalid(f"status.{name}", status.get(name) or 0, f"cannot decrease the {name} counter"))
    return errors + _start_errors(status, before, new["spec"])


def _is_true(status: Status, kind: str) -> bool:
    return any(
        condition.get("type") == kind and condition.get("status") == "True"
        for condition in status.get("conditions") or ()
    )


def _condition_error(text: str) -> FieldError:
    """An error that shows no value."""
    return FieldError("status.conditions", "FieldValueInvalid", f"Invalid value: {text}")


def _time_errors(status: Status) -> list[FieldError]:
    end, start = status.get("completionTime"), status.get("startTime")
    is_complete = _is_true(status, "Complete")
    path = "status.completionTime"
    if end is None:
        return [required(path, "completionTime is required for Complete jobs")] if is_complete else []
    if not is_complete:
        return [invalid(path, end, "cannot set completionTime when there is no Complete=True condition")]
    if start is not None and end < start:
        return [invalid(path, end, "completionTime cannot be set before startTime")]
    return []


def _condition_errors(status: Status) -> list[FieldError]:
    errors = []
    is_complete, is_failed = _is_true(status, "Complete"), _is_true(status, "Failed")
    fails, succeeds = _is_true(status, "FailureTarget"), _is_true(status, "SuccessCriteriaMet")
    if is_complete and is_failed:
        errors.append(_condition_error("cannot set Complete=True and Failed=true conditions"))
    if is_complete and fails:
        errors.append(_condition_error("cannot set Complete=True and FailureTarget=true conditions"))
    if is_failed and not fails:
        errors.append(_condition_error("cannot set Failed=True condition without the FailureTarget=true condition"))
    if is_complete and not succeeds:
        text = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"
        errors.append(_condition_error(text))
    if is_failed and succeeds:
        errors.append(_condition_error("cannot set Failed=True and SuccessCriteriaMet=true conditions"))
    if fails and succeeds:
        errors.append(_condition_error("cannot set FailureTarget=True and SuccessCriteriaMet=true conditions"))
    return errors


def _finished_errors(status: Status, spec: Status) -> list[FieldError]:
    if not _is_true(status, "Complete") and not _is_true(status, "Failed"):
        return []
    errors = []
    if status.get("active"):
        errors.append(invalid("status.active", status["active"], "active>0 is invalid for finished job"))
    if not status.get("startTime") and not spec.get("suspend"):
        errors.append(required("status.startTime", "startTime is required for finished job"))
    uncounted = status.get("uncountedTerminatedPods") or {}
    if any(uncounted.values()):
        text = "uncountedTerminatedPods needs to be empty for finished job"
        errors.append(invalid("status.uncountedTerminatedPods", uncounted, text))
    return errors


def _uncounted_errors(uncounted: Status) -> list[FieldError]:
    errors = []
    seen: set[str] = set()
    for name in ("succeeded", "failed"):
        for index, uid in enumerate(uncounted.get(name) or ()):
            path = f"status.uncountedTerminatedPods.{name}[{index}]"
            if not uid:
                errors.append(invalid(path, uid, "must not be empty"))
            elif uid in seen:
                errors.append(duplicate(path, uid))
            seen.add(uid)
    return errors


def _disabled_errors(status: Status, before: Status) -> list[FieldError]:
    errors = []
    for kind, word in (
        ("Failed", "terminal "),
        ("Complete", "terminal "),
        ("FailureTarget", ""),
        ("SuccessCriteriaMet", ""),
    ):
        if _is_true(before, kind) and not _is_true(status, kind):
            errors.append(_condition_error(f"cannot disable the {word}{kind}=True condition"))
    return errors


def _start_errors(status: Status, before: Status, spec: Status) -> list[FieldError]:
    now, was = status.get("startTime"), before.get("startTime")
    if spec.get("suspend") or was is None or now == was:
        return []
    if now is None:
        return [required("status.startTime", "startTime cannot be removed for unsuspended job")]
    return [invalid("status.startTime", now, "startTime cannot be modified for unsuspended job")]
