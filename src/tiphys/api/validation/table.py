"""
Which validation answers for which kind: the table that the kinds' files fill, and what holds for all kinds.

Each file named in `FILES` has a dict `VALIDATORS` from (group, resource) to a `Validator`.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping

from tiphys.api.resources import Resource
from tiphys.api.validation import metadata
from tiphys.api.validation.fields import FieldError
from tiphys.api.validation.validator import Object, Validator

FILES: tuple[str, ...] = (
    "admission_policies",
    "autoscaling",
    "certificates",
    "classes",
    "config",
    "cron_jobs",
    "devices",
    "disruption",
    "endpoints",
    "events",
    "flowcontrol",
    "ingresses",
    "jobs",
    "leases",
    "networking",
    "nodes",
    "persistent_volumes",
    "pods",
    "quotas",
    "rbac",
    "services",
    "storage",
    "webhooks",
    "workloads",
)


@functools.cache
def validators() -> Mapping[tuple[str, str], Validator]:
    """All kinds' validators."""
    table: dict[tuple[str, str], Validator] = {}
    for name in FILES:
        table.update(importlib.import_module(f"tiphys.api.validation.{name}").VALIDATORS)
    return table


def validate_create(resource: Resource, obj: Object, *, requested: Resource | None = None) -> list[FieldError]:
    """
    What is wrong with a new object of the stored version.

    `requested` is the resource of the request's path where it is another: the rules of Events differ by their group.
    """
    found = _validator(resource, requested)
    errors = metadata.validate_metadata(resource, obj, found.name if found is not None else None)
    return errors + (found.create(obj) if found is not None and found.create is not None else [])


def validate_update(
    resource: Resource, new: Object, old: Object, subresource: str = "", *, requested: Resource | None = None
) -> list[FieldError]:
    """What is wrong with a change; `subresource` is "", "status", "scale", …"""
    found = _validator(resource, requested)
    errors = metadata.validate_metadata_update(resource, new, old)
    if found is None:
        return errors
    if subresource:
        check = found.subresources.get(subresource)
        return errors + (check(new, old) if check is not None else [])
    return errors + (found.update(new, old) if found.update is not None else [])


def _validator(resource: Resource, requested: Resource | None) -> Validator | None:
    table = validators()
    if requested is not None and requested.group != resource.group:
        own = table.get((requested.group, requested.name.partition("/")[0]))
        if own is not None:
            return own
    return table.get((resource.group, resource.name.partition("/")[0]))
