"""CronJobs: a schedule, a time zone, and the template of a Job."""

from __future__ import annotations

import functools
import zoneinfo
from collections.abc import Mapping

from tiphys.api import cron
from tiphys.api.validation.fields import FieldError, invalid, not_supported, required
from tiphys.api.validation.jobs import job_spec_errors
from tiphys.api.validation.metadata import annotation_errors, label_errors
from tiphys.api.validation.validator import Object, Validator
from tiphys.api.validation.values import choice_errors, negative_errors

# A Job's name is the CronJob's with eleven characters more, and must fit a label.
NAME_LENGTH_MAX = 52
_IANA = "https://www.iana.org/time-zones"
_POLICIES = ("Allow", "Forbid", "Replace")


def cron_job(obj: Object) -> list[FieldError]:
    """A CronJob."""
    return _errors(obj, None)


def _errors(obj: Object, old: Object | None) -> list[FieldError]:
    spec = obj["spec"]
    errors = _schedule_errors(spec, old)
    errors += negative_errors(spec, "spec.", "startingDeadlineSeconds")
    if "timeZone" in spec:
        errors += _zone_errors(spec["timeZone"])
    errors += choice_errors(spec.get("concurrencyPolicy"), "spec.concurrencyPolicy", _POLICIES, is_set=False)
    errors += _template_errors(spec.get("jobTemplate") or {})
    errors += negative_errors(spec, "spec.", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
    name = obj["metadata"].get("name", "")
    if old is None and len(name) > NAME_LENGTH_MAX:
        errors.append(invalid("metadata.name", name, f"must be no more than {NAME_LENGTH_MAX} characters"))
    return errors


def _schedule_errors(spec: Object, old: Object | None) -> list[FieldError]:
    schedule = spec.get("schedule", "")
    if not schedule:
        return [required("spec.schedule")]
    problem = cron.problem(schedule)
    errors = [invalid("spec.schedule", schedule, problem)] if problem else []
    if "TZ" not in schedule:
        return errors
    # A zone in the schedule is let be where it has been for ever.
    if old is None or "TZ" not in old["spec"].get("schedule", ""):
        text = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        errors.append(invalid("spec.schedule", schedule, text))
    elif "timeZone" in spec:
        text = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
        errors.append(invalid("spec.schedule", schedule, text))
    return errors


@functools.cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def _zone_errors(zone: str) -> list[FieldError]:
    if not zone:
        return [invalid("spec.timeZone", zone, "timeZone must be nil or non-empty string")]
    if zone.lower() == "local":
        return [invalid("spec.timeZone", zone, f"timeZone must be an explicit time zone as defined in {_IANA}")]
    # A machine without time zone data knows none, which is no fault of the object's.
    if _zones() and zone not in _zones():
        return [invalid("spec.timeZone", zone, f"unknown time zone {zone}")]
    return []


def _template_errors(template: Object) -> list[FieldError]:
    path = "spec.jobTemplate"
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    errors = label_errors(metadata.get("labels") or {}, f"{path}.labels")
    errors += annotation_errors(metadata.get("annotations") or {}, f"{path}.annotations")
    errors += job_spec_errors(spec, f"{path}.spec.")
    if "selector" in spec:
        errors.append(invalid(f"{path}.spec.selector", spec["selector"], "`selector` will be auto-generated"))
    if spec.get("manualSelector"):
        errors.append(not_supported(f"{path}.spec.manualSelector", True, ("nil", "false"), is_set=False))
    return errors


def _update(new: Object, old: Object) -> list[FieldError]:
    return _errors(new, old)


VALIDATORS: Mapping[tuple[str, str], Validator] = {("batch", "cronjobs"): Validator(create=cron_job, update=_update)}
